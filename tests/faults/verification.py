"""What must hold after any fault: for each client, for each acknowledgement, for each event."""

from __future__ import annotations

from collections.abc import Sequence

from gomatch.store import MarketHead
from tests.faults.expectations import check_acknowledgements, check_events, results_of_commands
from tests.fixtures.recorder import RecordingClient
from tests.fixtures.stored import all_applied, audited, read_stored


async def verify(
    postgres_url: str, redis_url: str, symbol: str, clients: Sequence[RecordingClient]
) -> MarketHead:
    """Everything acknowledged is in PostgreSQL and applied once and in its order, every event
    seen is in the journal unchanged, the mirror has come to where the head is, and the audit,
    which leaves nothing unchecked, is clean."""
    head = await all_applied(postgres_url, symbol)
    for client in clients:
        await client.seen_through(head.sequence)
        assert client.problems == []
        assert client.refused == {}
    stored = await read_stored(postgres_url, symbol, [client.name for client in clients])
    assert sorted(stored.commands) == list(range(1, head.accepted + 1))
    assert sorted(stored.events) == list(range(1, head.sequence + 1))
    results = results_of_commands(stored)
    for client in clients:
        check_acknowledgements(client, stored, results)
        check_events(client, stored)
    figures = await audited(postgres_url, redis_url, symbol)
    assert figures.sequence == head.sequence
    return head
