"""The load generator: order flow, recorded flows, light clients and what they measured."""
