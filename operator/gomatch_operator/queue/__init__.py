"""The markets' queues at RabbitMQ, kept by its management HTTP API."""
