"""How accepted commands reach their matcher: RabbitMQ, or a queue within one process."""

from gomatch.transport.inprocess import InProcessTransport
from gomatch.transport.interfaces import (
    CommandConsumer,
    CommandPublisher,
    Delivery,
    Transport,
    TransportCounters,
)
from gomatch.transport.rabbitmq import RabbitMQTransport

__all__ = [
    "CommandConsumer",
    "CommandPublisher",
    "Delivery",
    "InProcessTransport",
    "RabbitMQTransport",
    "Transport",
    "TransportCounters",
]
