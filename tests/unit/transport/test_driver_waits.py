"""What the driver raises when a connection goes is told as that, whatever it looks like."""

from __future__ import annotations

import asyncio

import pytest

from gomatch.transport.rabbitmq.link import driver_waits


async def test_a_wait_that_the_driver_ends_without_any_reason_is_a_lost_connection() -> None:
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    # As aiormq does with what waits on a connection that is closed without a reason.
    waiting.set_exception(Exception)

    with pytest.raises(ConnectionError), driver_waits():
        await waiting


async def test_a_wait_that_the_driver_cancels_is_a_lost_connection() -> None:
    waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.cancel()

    with pytest.raises(ConnectionError), driver_waits():
        await waiting


async def test_a_fault_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), driver_waits():
        raise ZeroDivisionError
