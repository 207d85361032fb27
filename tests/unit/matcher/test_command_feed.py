"""The feed hands out every command once and in order, whatever the queue does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from gomatch.engine import CancelOrder
from gomatch.messages.codec import pack_commands
from gomatch.messages.envelope import CommandBatch
from gomatch.settings import Settings
from gomatch.store import CommandRow
from gomatch.transport import Delivery
from gomatch_matcher.command_feed import CommandFeed
from gomatch_matcher.metrics import MatcherMetrics


@dataclass
class Head:
    accepted: int


@dataclass
class StoredCommands:
    """A journal that holds commands 1..accepted, in rows of three."""

    accepted: int
    reads: int = 0

    async def head(self, market_id: int) -> Head:
        return Head(self.accepted)

    async def commands(
        self, market_id: int, first: int, last: int, *, limit_rows: int
    ) -> list[CommandRow]:
        self.reads += 1
        rows = [row_of(start, min(start + 2, self.accepted)) for start in range(1, last + 1, 3)]
        return [row for row in rows if row.last >= first][:limit_rows]


def row_of(first: int, last: int) -> CommandRow:
    return CommandRow(first=first, last=last, accepted_at=first, bodies=bodies(first, last))


def bodies(first: int, last: int) -> bytes:
    return pack_commands([CancelOrder(1, number) for number in range(first, last + 1)])


def delivery(first: int, last: int, *, body: bytes | None = None) -> Delivery:
    batch = CommandBatch(
        market="A-B", first=first, last=last, accepted_at=0, bodies=body or bodies(first, last)
    )
    return Delivery(batch=batch, tag=first)


@dataclass
class ScriptedConsumer:
    script: list[Delivery]
    rejected: list[str] = field(default_factory=list)

    async def take(self, *, limit: int, timeout: float) -> list[Delivery]:
        taken, self.script = self.script[:2], self.script[2:]
        return taken

    async def ack(self, delivery: Delivery) -> None: ...

    async def reject(self, delivery: Delivery, *, reason: str) -> None:
        self.rejected.append(reason)

    async def close(self) -> None: ...


def feed_over(
    stored: StoredCommands, consumer: ScriptedConsumer, *, applied: int = 0
) -> CommandFeed:
    return CommandFeed(
        journal=stored,  # type: ignore[arg-type]
        consumer=consumer,
        market_id=1,
        symbol="A-B",
        applied=applied,
        settings=Settings(),
        metrics=MatcherMetrics(CollectorRegistry(), "A-B"),
    )


async def take_all(feed: CommandFeed, up_to: int, limit: int) -> list[int]:
    targets: list[int] = []
    while len(targets) < up_to:
        taken = await feed.take(limit=limit, timeout=0)
        assert taken.count <= limit
        for segment in taken.segments:
            for command in segment.commands:
                assert isinstance(command, CancelOrder)
                targets.append(command.order)
    return targets


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([1, 4, 1000]))
async def test_losing_repeating_and_reordering_changes_nothing(
    seed: int, count: int, limit: int
) -> None:
    draw = random.Random(seed)
    pieces = []
    start = 1
    while start <= count:
        last = min(count, start + draw.randint(0, 5))
        pieces.append(delivery(start, last))
        start = last + 1
    kept = [piece for piece in pieces if draw.random() > 0.2]
    kept += [piece for piece in pieces if draw.random() < 0.2]
    if draw.random() < 0.5:
        draw.shuffle(kept)
    feed = feed_over(StoredCommands(count), ScriptedConsumer(kept))
    feed._behind = draw.random() < 0.2
    assert await take_all(feed, count, limit) == list(range(1, count + 1))


async def test_a_new_leader_reads_what_waits_from_postgresql() -> None:
    stored = StoredCommands(10)
    assert await take_all(feed_over(stored, ScriptedConsumer([]), applied=4), 6, 100) == [
        5, 6, 7, 8, 9, 10,
    ]  # fmt: skip


async def test_commands_that_no_one_accepted_are_refused() -> None:
    consumer = ScriptedConsumer([delivery(5, 6)])
    feed = feed_over(StoredCommands(0), consumer)
    for _ in range(3):
        assert (await feed.take(limit=10, timeout=0)).count == 0
    assert consumer.rejected == ["its numbers were never accepted"]


async def test_garbage_is_refused_and_its_numbers_are_read_from_postgresql() -> None:
    stored = StoredCommands(0)
    consumer = ScriptedConsumer([delivery(1, 3, body=b"\x01garbage"), delivery(4, 6)])
    feed = feed_over(stored, consumer)
    feed._behind = False
    stored.accepted = 6
    assert await take_all(feed, 6, 100) == [1, 2, 3, 4, 5, 6]
    assert len(consumer.rejected) == 1
