"""What must hold after any fault: for each client, for each acknowledgement, for each event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gomatch.audit import audit
from gomatch.engine import Accepted, Cancelled, Event, NewOrder, Rejected, Rested, Traded
from gomatch.messages.codec import unpack_commands, unpack_events
from gomatch.messages.market import parse_order_id
from gomatch.store import Journal, MarketHead, Markets, connect_pool
from tests.fixtures.recorder import RecordingClient

_KINDS: dict[str, type[Event]] = {
    "accepted": Accepted,
    "rested": Rested,
    "fill": Traded,
    "cancelled": Cancelled,
    "rejected": Rejected,
}


async def all_applied(postgres_url: str, symbol: str, timeout: float = 30) -> MarketHead:
    """Wait until everything accepted is applied."""
    pool = await connect_pool(postgres_url, size=2, timeout=10, application="tests")
    try:
        async with asyncio.timeout(timeout):
            while True:
                head = await Markets(pool).head(symbol)
                assert head is not None
                if head.applied == head.accepted:
                    return head
                await asyncio.sleep(0.05)
    finally:
        await pool.close()


async def verify(
    postgres_url: str,
    redis_url: str | None,
    symbol: str,
    clients: Sequence[RecordingClient],
) -> MarketHead:
    """Everything acknowledged is in PostgreSQL and applied once, every event seen is in the
    journal unchanged, and the audit is clean."""
    head = await all_applied(postgres_url, symbol)
    for client in clients:
        await client.seen_through(head.sequence)
        assert client.problems == []
        assert client.refused == {}
        assert set(client.acknowledged) == set(client.sent)
    pool = await connect_pool(postgres_url, size=2, timeout=10, application="tests")
    try:
        journal = Journal(pool)
        commands: dict[int, Any] = {}
        for row in await journal.commands(head.market_id, 1, head.accepted, limit_rows=10**6):
            commands.update(enumerate(unpack_commands(row.bodies), row.first))
        events: dict[int, Event] = {}
        for applied in await journal.rows(head.market_id, 0, limit_rows=10**6):
            events.update(enumerate(unpack_events(applied.events), applied.first_sequence))
    finally:
        await pool.close()
    assert sorted(commands) == list(range(1, head.accepted + 1))
    assert sorted(events) == list(range(1, head.sequence + 1))
    applied_once = [e.number for e in events.values() if isinstance(e, Accepted)]
    assert len(applied_once) == len(set(applied_once))
    for client in clients:
        _check_acknowledgements(client, commands, set(applied_once))
        _check_events(client, events, commands)
    report = await audit(postgres_url, redis_url, [symbol])
    assert report.clean, report
    return head


def _check_acknowledgements(
    client: RecordingClient, commands: dict[int, Any], applied: set[int]
) -> None:
    seen: dict[str, str] = {}
    for identifier, answer in client.acknowledged.items():
        parsed = parse_order_id(answer["id"])
        assert parsed is not None
        number = parsed[1]
        command = commands[number]
        assert isinstance(command, NewOrder)
        assert command.client_order_id == identifier
        assert number in applied
        assert seen.setdefault(answer["id"], identifier) == identifier
    entered = [
        command.client_order_id
        for command in commands.values()
        if isinstance(command, NewOrder) and command.client_order_id in client.sent
    ]
    assert len(entered) == len(set(entered)), "an order was entered twice"


def _check_events(
    client: RecordingClient, events: dict[int, Event], commands: dict[int, Any]
) -> None:
    users = {
        command.user
        for command in commands.values()
        if isinstance(command, NewOrder) and command.client_order_id in client.sent
    }
    for (sequence, _), seen in client.events.items():
        event = events[sequence]
        assert isinstance(event, _KINDS[seen["event"]])
        if isinstance(event, Traded):
            own = event.maker_order if seen["role"] == "maker" else event.taker_order
            assert seen["order_id"].endswith(f"-{own}")
    expected = {sequence for sequence, event in events.items() if users & _users_of(event)}
    assert {sequence for sequence, _ in client.events} == expected, "events were missed"


def _users_of(event: Event) -> set[int]:
    if isinstance(event, Traded):
        return {event.maker_user, event.taker_user}
    if isinstance(event, Accepted):
        return {event.order.user}
    user = getattr(event, "user", 0)
    return {user} if user else set()
