"""RabbitMQ: one quorum queue for each market, publisher confirms, a dead-letter queue."""

from gomatch.transport.rabbitmq.transport import RabbitMQTransport

__all__ = ["RabbitMQTransport"]
