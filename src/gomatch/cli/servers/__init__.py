"""PostgreSQL, Valkey and RabbitMQ as plain child processes, without containers or services.

`gomatch up` keeps their data between runs; tests throw it away. Each listens on 127.0.0.1 only,
keeps everything it writes (logs too) in its data folder, and ends when its parent ends.
"""

from gomatch.cli.servers.base import LocalServer, ServerError
from gomatch.cli.servers.postgres import PostgresServer
from gomatch.cli.servers.rabbitmq import RabbitServer
from gomatch.cli.servers.redis import RedisServer

__all__ = ["LocalServer", "PostgresServer", "RabbitServer", "RedisServer", "ServerError"]
