"""The HTTP routes. Each is an ASGI endpoint of its own; the OpenAPI document lists them all."""
