"""A market's queue at a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractRobustConnection

from gomatch.transport import (
    RabbitMQTransport,
)
from tests.fixtures.broker import MARKET, Counts
from tests.fixtures.queues import make_queue


@pytest.fixture(autouse=True)
def first_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher without one fails at once, which a broker that is only slow would make of it."""
    monkeypatch.setattr("gomatch.transport.rabbitmq.transport._FIRST_CONNECTION", 60.0)


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
async def transport(rabbitmq_url: str, counts: Counts) -> AsyncIterator[RabbitMQTransport]:
    await make_queue(rabbitmq_url, MARKET)
    transport = RabbitMQTransport(rabbitmq_url, hooks=counts.hooks())
    yield transport
    await transport.close()


@pytest.fixture
async def stranger(rabbitmq_url: str) -> AsyncIterator[AbstractRobustConnection]:
    """Somebody else's connection to the same virtual host."""
    async with await aio_pika.connect_robust(rabbitmq_url) as connection:
        yield connection
