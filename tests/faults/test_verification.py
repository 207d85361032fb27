"""The verifier itself: it finds what it looks for."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest

from gomatch.engine import CancelOrder
from tests.faults.expectations import check_acknowledgements, check_events, results_of_commands
from tests.faults.verification import verify
from tests.fixtures.following import followed
from tests.fixtures.recorder import RecordingClient
from tests.fixtures.stored import Stored, read_stored
from tests.fixtures.venue import Venue

SYMBOL = "BTC-USDT"


def check(client: RecordingClient, stored: Stored) -> None:
    results = results_of_commands(stored)
    check_acknowledgements(client, stored, results)
    check_events(client, stored)


def copied(client: RecordingClient) -> RecordingClient:
    return dataclasses.replace(
        client,
        sent=copy.deepcopy(client.sent),
        acknowledged=copy.deepcopy(client.acknowledged),
        events=copy.deepcopy(client.events),
    )


async def test_every_difference_between_client_and_journal_is_found(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with (
        Venue(database_url, redis_url, rabbitmq_url, tmp_path) as venue,
        followed(venue, 1) as clients,
    ):
        await clients[0].send(200, batch=20)
        await verify(database_url, redis_url, SYMBOL, clients)
    sound = clients[0]
    stored = await read_stored(database_url, SYMBOL, [sound.name])
    check(sound, stored)
    kinds = {event["event"]: key for key, event in sound.events.items()}
    assert {"accepted", "rested", "fill", "cancelled", "amended", "rejected"} <= kinds.keys()

    for key in kinds.values():
        for name, value in sound.events[key].items():
            if name in ("event", "sequence", "prev"):
                continue
            client = copied(sound)
            client.events[key][name] = f"{value}0"
            with pytest.raises(AssertionError):
                check(client, stored)
        client = copied(sound)
        del client.events[key]
        with pytest.raises(AssertionError):
            check(client, stored)

    names = list(sound.acknowledged)
    for name in (names[0], names[-1]):
        for field in ("command", "accepted_at"):
            client = copied(sound)
            value = client.acknowledged[name][field]
            client.acknowledged[name][field] = value + 1 if field == "command" else f"{value}0"
            with pytest.raises((AssertionError, KeyError)):
                check(client, stored)

    client = copied(sound)
    client.acknowledged[names[-2]] = client.acknowledged.pop(names[-2])
    with pytest.raises(AssertionError, match="earlier place"):
        check(client, stored)

    client = copied(sound)
    client.sent[names[0]]["quantity"] = "0.019"
    with pytest.raises(AssertionError):
        check(client, stored)

    twice = copy.deepcopy(stored)
    head = stored.head.accepted
    twice.commands[head + 1] = CancelOrder(stored.users[sound.name], 2)
    with pytest.raises(AssertionError, match="entered twice"):
        check_acknowledgements(sound, twice, results_of_commands(stored))

    twice = copy.deepcopy(stored)
    last = max(twice.events)
    sequence = results_of_commands(stored)[head]
    twice.events[last + 1] = twice.events[sequence]
    with pytest.raises(AssertionError, match="applied twice"):
        check(sound, twice)
