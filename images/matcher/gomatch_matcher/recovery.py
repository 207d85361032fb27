"""How a matcher gets its engine back: from Redis when that equals PostgreSQL, else from the
newest image and the journal after it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

from gomatch.cache import BookMirror
from gomatch.engine import RULES_VERSION, Command, Engine, Event, Image
from gomatch.errors import CacheError, CodecError, EngineError
from gomatch.messages.codec import (
    GENESIS_CHAIN,
    next_chain,
    pack_events,
    unpack_commands,
    unpack_header,
    unpack_image,
    unpack_order,
)
from gomatch.observability import logs
from gomatch.store import Journal, MarketHead, Snapshots

_log = logs.get(__name__)
_PAGE = 500
_BUSY_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Recovered:
    """``source`` says where the state came from, ``replayed`` how many commands were matched
    again after it, ``seconds`` how long all of it took."""

    engine: Engine
    head: MarketHead
    source: Literal["redis", "image", "genesis"]
    replayed: int
    seconds: float


async def recover(
    *, head: MarketHead, journal: Journal, snapshots: Snapshots, mirror: BookMirror
) -> Recovered:
    """The engine at ``head``. Raises StoreUnavailable, CodecError, and EngineError when what is
    replayed does not arrive at what is journaled."""
    started = time.perf_counter()
    engine = await _from_redis(head, mirror)
    if engine is not None:
        return Recovered(engine, head, "redis", 0, time.perf_counter() - started)
    source: Literal["image", "genesis"] = "genesis"
    engine = Engine()
    chain = GENESIS_CHAIN
    newest = await snapshots.newest(head.market_id)
    if newest is not None:
        engine = Engine.restore(unpack_image(newest.image))
        chain = newest.chain
        source = "image"
    replayed = await _replay(engine, chain, head, journal)
    return Recovered(engine, head, source, replayed, time.perf_counter() - started)


async def _from_redis(head: MarketHead, mirror: BookMirror) -> Engine | None:
    try:
        held = await mirror.load()
        if held is None or held.sequence != head.sequence or held.chain != head.chain:
            return None
        orders = [unpack_order(packed) for _, packed in sorted(held.orders.items())]
        engine = Engine.restore(Image(unpack_header(held.header), orders))
    except (CacheError, CodecError, EngineError, ValueError, LookupError) as error:
        _log.warning("redis_not_used", market=head.symbol, why=str(error))
        return None
    if engine.applied != head.applied or engine.sequence != head.sequence:
        return None
    return engine


async def _replay(engine: Engine, chain: bytes, head: MarketHead, journal: Journal) -> int:
    """``chain`` is that of the engine's state. What is replayed must give the journal's bytes."""
    start = engine.applied
    commands: dict[int, Command] = {}
    events: list[Event] = []
    yielded = time.perf_counter()
    while engine.sequence < head.sequence:
        rows = await journal.rows(
            head.market_id, engine.sequence, limit_rows=_PAGE, with_events=False
        )
        if not rows:
            raise EngineError(
                f"market {head.symbol}: the journal ends at sequence {engine.sequence}, its head "
                f"says {head.sequence}; run `gomatch audit`"
            )
        last = rows[-1].last_number
        if last > engine.applied:
            for page in await journal.commands(
                head.market_id, engine.applied + 1, last, limit_rows=last - engine.applied
            ):
                commands.update(enumerate(unpack_commands(page.bodies), page.first))
        for row in rows:
            if time.perf_counter() - yielded > _BUSY_SECONDS:
                # Signals and health checks are answered meanwhile.
                await asyncio.sleep(0)
                yielded = time.perf_counter()
            if row.rules_version > RULES_VERSION:
                raise EngineError(
                    f"market {head.symbol}: the journal follows rules version "
                    f"{row.rules_version}, this build knows {RULES_VERSION}; install a newer one"
                )
            engine.advance(row.time, events)
            numbers = range(row.first_number, row.last_number + 1)
            if row.skipped:
                for number in numbers:
                    apply = engine.skip if number in row.skipped else engine.apply
                    apply(number, commands.pop(number), events)
            elif numbers:
                engine.apply_batch(numbers[0], [commands.pop(n) for n in numbers], events)
            chain = next_chain(
                chain,
                first_number=row.first_number,
                last_number=row.last_number,
                first_sequence=row.first_sequence,
                last_sequence=row.last_sequence,
                epoch=row.epoch,
                rules_version=row.rules_version,
                time=row.time,
                events=pack_events(events),
            )
            if engine.sequence != row.last_sequence or chain != row.chain:
                raise EngineError(
                    f"market {head.symbol}: the replay of sequences {row.first_sequence} to "
                    f"{row.last_sequence} differs from the journal; run `gomatch audit`"
                )
            events.clear()
    return engine.applied - start
