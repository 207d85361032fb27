"""RabbitMQ: what a Market wants there, and how it is kept."""
