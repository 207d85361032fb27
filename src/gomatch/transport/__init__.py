"""What carries accepted commands from the API to each market's matcher.

It is the fast path and not the truth: whatever it loses, repeats or reorders, the matcher goes by
the numbers and reads what is missing from PostgreSQL.
"""

from gomatch.transport.hooks import TransportHooks
from gomatch.transport.inprocess import InProcessTransport
from gomatch.transport.interfaces import CommandConsumer, CommandPublisher, Delivery, Transport
from gomatch.transport.metrics import prometheus_hooks
from gomatch.transport.rabbitmq import RabbitMQTransport

__all__ = [
    "CommandConsumer",
    "CommandPublisher",
    "Delivery",
    "InProcessTransport",
    "RabbitMQTransport",
    "Transport",
    "TransportHooks",
    "prometheus_hooks",
]
