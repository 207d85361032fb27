"""How a matcher gets its engine back: from Redis when that equals PostgreSQL, else from the
newest image and the journal after it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Literal

from gomatch.cache import BookMirror, MirrorSnapshot
from gomatch.engine import RULES_VERSION, Command, Engine, Event, Image
from gomatch.errors import CacheError, CacheStale, CodecError, EngineError
from gomatch.messages.codec import (
    GENESIS_CHAIN,
    pack_events,
    unpack_commands,
    unpack_header,
    unpack_image,
    unpack_order,
)
from gomatch.observability import logs
from gomatch.store import Journal, MarketHead, Snapshots, row_chain

_log = logs.get(__name__)
_PAGE = 500
_BUSY_SECONDS = 0.02


Source = Literal["redis", "image", "genesis"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """``source`` says where the state came from: the mirror, an image, or nothing but the journal
    from its beginning; ``since`` at which sequence that stood, ``replayed`` how many commands were
    matched again after it, ``images_refused`` how many newer images could not be used, and
    ``seconds`` how long all of it took."""

    engine: Engine
    head: MarketHead
    source: Source
    since: int
    replayed: int
    images_refused: int
    seconds: float


async def recover(
    *, head: MarketHead, journal: Journal, snapshots: Snapshots, mirror: BookMirror
) -> Recovered:
    """The engine at ``head``. Raises StoreUnavailable, CodecError, and EngineError when what is
    replayed does not arrive at what is journaled, or the journal does not reach back as far as
    the newest state that can be used."""
    started = time.perf_counter()
    engine = await _from_redis(head, mirror)
    source: Source = "redis"
    refused, chain = 0, head.chain
    if engine is None:
        engine, chain, refused = await _from_images(head, snapshots)
        source = "image" if engine.sequence else "genesis"
    since = engine.sequence
    replayed = await _replay(engine, chain, head, journal)
    if (engine.applied, engine.sequence) != (head.applied, head.sequence):
        raise EngineError(
            f"market {head.symbol}: its head says sequence {head.sequence} and command "
            f"{head.applied}, its journal ends at {engine.sequence} and {engine.applied}; run "
            "`gomatch audit`"
        )
    seconds = time.perf_counter() - started
    return Recovered(engine, head, source, since, replayed, refused, seconds)


async def _from_redis(head: MarketHead, mirror: BookMirror) -> Engine | None:
    try:
        held = await mirror.load()
        if held is None or held.sequence != head.sequence:
            why = "there is no mirror" if held is None else f"it stands at {held.sequence}"
            _log.info("redis_not_used", market=head.symbol, sequence=head.sequence, why=why)
            return None
        return _from_mirror(head, held)
    except (CacheError, CodecError, EngineError, ValueError, LookupError) as error:
        _log.warning("redis_not_used", market=head.symbol, sequence=head.sequence, why=str(error))
        return None


def _from_mirror(head: MarketHead, held: MirrorSnapshot) -> Engine:
    """Raises CacheStale, CodecError and ValueError when it is not the state at ``head``."""
    if held.chain != head.chain:
        raise CacheStale("the mirror has another chain than the journal")
    orders = [unpack_order(packed) for _, packed in sorted(held.orders.items())]
    engine = Engine.restore(Image(unpack_header(held.header), orders))
    if (engine.applied, engine.sequence) != (head.applied, head.sequence):
        raise CacheStale(f"the mirror's header is of sequence {engine.sequence}")
    return engine


async def _from_images(head: MarketHead, snapshots: Snapshots) -> tuple[Engine, bytes, int]:
    """From the newest image that can be used, else a new engine; with its chain, and how many
    images could not be used."""
    refused = 0
    row = await snapshots.at_or_before(head.market_id, head.sequence)
    while row is not None:
        try:
            engine = Engine.restore(unpack_image(row.image))
            if (engine.applied, engine.sequence) == (row.applied, row.sequence):
                return engine, row.chain, refused
            why = f"it is of sequence {engine.sequence}"
        except (CodecError, ValueError, LookupError) as error:
            why = str(error)
        _log.warning("image_not_used", market=head.symbol, sequence=row.sequence, why=why)
        refused += 1
        row = await snapshots.at_or_before(head.market_id, row.sequence - 1)
    return Engine(), GENESIS_CHAIN, refused


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
            if (row.first_sequence, row.first_number) != (engine.sequence + 1, engine.applied + 1):
                raise EngineError(
                    f"market {head.symbol}: after sequence {engine.sequence} and command "
                    f"{engine.applied} the journal goes on with {row.first_sequence} and "
                    f"{row.first_number}; run `gomatch audit`"
                )
            numbers = range(row.first_number, row.last_number + 1)
            missing = next((number for number in numbers if number not in commands), None)
            if missing is not None:
                raise EngineError(
                    f"market {head.symbol}: command {missing} is applied and not stored; run "
                    "`gomatch audit`"
                )
            engine.advance(row.time, events)
            if row.skipped:
                for number in numbers:
                    apply = engine.skip if number in row.skipped else engine.apply
                    apply(number, commands.pop(number), events)
            elif numbers:
                engine.apply_batch(numbers[0], [commands.pop(n) for n in numbers], events)
            chain = row_chain(chain, row, pack_events(events))
            if engine.sequence != row.last_sequence or chain != row.chain:
                raise EngineError(
                    f"market {head.symbol}: the replay of sequences {row.first_sequence} to "
                    f"{row.last_sequence} differs from the journal; run `gomatch audit`"
                )
            events.clear()
    return engine.applied - start
