"""Matching: commands of one batch through the engine, and all that has to be written of it."""

from __future__ import annotations

from collections.abc import Sequence

from gomatch.engine import Command, Engine, Event, NewOrder
from gomatch.errors import EngineFault
from gomatch.messages.applied import AppliedBatch, Summary
from gomatch.messages.codec import next_chain, pack_events, pack_header, pack_order
from gomatch_matcher.matched import MatchedBatch, MirrorDelta, Taken
from gomatch_matcher.rows import batch_rows


class Matching:
    """Owns the engine of one term. Everything it returns is plain: the engine may go on."""

    def __init__(self, engine: Engine, *, market_id: int, epoch: int, chain: bytes) -> None:
        self.engine = engine
        self._market_id = market_id
        self._epoch = epoch
        self._chain = chain
        engine.drain()

    def match(
        self, taken: Taken, *, now: int, skip: frozenset[int] = frozenset()
    ) -> MatchedBatch | None:
        """Apply ``taken`` at time max(engine's time, ``now``) in microseconds. Returns None when
        there was neither a command nor an expiry. Numbers in ``skip`` are journaled as rejected.

        Raises EngineFault when the engine raised, or did what cannot be packed, with the number
        of the first command of those that it was given together, or 0 when it raised as time
        went on; it is then in no defined state and must be dropped.
        """
        events: list[Event] = []
        previous_sequence, first_number = self.engine.sequence, self.engine.applied + 1
        self._advance(now, events)
        skipped = self._apply(taken, skip, events)
        if not events:
            return None
        try:
            return self._matched(taken, events, skipped, previous_sequence, first_number)
        except Exception as error:
            raise _fault(taken, first_number, error) from error

    def _matched(
        self,
        taken: Taken,
        events: list[Event],
        skipped: tuple[int, ...],
        previous_sequence: int,
        first_number: int,
    ) -> MatchedBatch:
        engine = self.engine
        changes = engine.drain()
        packed = pack_events(events)
        header = engine.header()
        first_sequence = previous_sequence + 1
        chain = next_chain(
            self._chain,
            first_number=first_number,
            last_number=header.applied,
            first_sequence=first_sequence,
            last_sequence=header.sequence,
            epoch=self._epoch,
            rules_version=header.config.rules_version,
            time=header.time,
            events=packed,
        )
        rows = batch_rows(
            market_id=self._market_id,
            segments=taken.segments,
            events=events,
            first_sequence=first_sequence,
            last_sequence=header.sequence,
            time=header.time,
            touched=changes.orders,
        )
        mirror = MirrorDelta()
        for number, order in changes.orders.items():
            if order.open:
                mirror.orders[number] = pack_order(order.image())
                mirror.places[number] = (
                    (order.side, order.price, order.priority) if order.priority else None
                )
            else:
                mirror.orders[number] = None
                mirror.places[number] = None
        indicative = engine.indicative() or (0, 0)
        batch = MatchedBatch(
            first_number=first_number,
            previous_sequence=previous_sequence,
            previous_chain=self._chain,
            chain=chain,
            rules_version=header.config.rules_version,
            header=pack_header(header),
            applied=AppliedBatch(
                epoch=self._epoch,
                first_sequence=first_sequence,
                last_sequence=header.sequence,
                applied=header.applied,
                time=header.time,
                events=events,
                packed=packed,
                bids=changes.bids,
                asks=changes.asks,
                summary=Summary(
                    state=header.state,
                    last_price=header.last_price,
                    indicative_price=indicative[0],
                    indicative_volume=indicative[1],
                ),
                trace=taken.trace,
            ),
            new_orders=rows.new_orders,
            order_updates=rows.order_updates,
            trades=rows.trades,
            state_reason=rows.state_reason,
            mirror=mirror,
            skipped=skipped,
            oldest_accepted_at=taken.segments[0].accepted_at if taken.segments else header.time,
            delivery=taken.delivery,
            sources=[segment.source for segment in taken.segments if segment.source is not None],
        )
        self._chain = chain
        return batch

    def _advance(self, now: int, events: list[Event]) -> None:
        engine = self.engine
        try:
            engine.advance(max(engine.time, now), events)
        except Exception as error:
            raise EngineFault(
                f"the engine raised {type(error).__name__} as time went on", number=0, last=0
            ) from error

    def _apply(self, taken: Taken, skip: frozenset[int], events: list[Event]) -> tuple[int, ...]:
        engine = self.engine
        number = engine.applied + 1
        skipped: list[int] = []
        try:
            for segment in taken.segments:
                number = segment.first
                if skip and not skip.isdisjoint(range(segment.first, segment.last + 1)):
                    skipped += self._apply_with_skips(segment.first, segment.commands, skip, events)
                    continue
                engine.apply_batch(segment.first, segment.commands, events)
        except Exception as error:
            raise _fault(taken, number, error) from error
        return tuple(skipped)

    def _apply_with_skips(
        self, first: int, commands: Sequence[Command], skip: frozenset[int], events: list[Event]
    ) -> list[int]:
        skipped = []
        for number, command in enumerate(commands, first):
            if number in skip:
                self.engine.skip(number, command, events)
                skipped.append(number)
            else:
                self.engine.apply(number, command, events)
        return skipped


def _fault(taken: Taken, number: int, error: Exception) -> EngineFault:
    order, user = _named(taken)
    return EngineFault(
        f"the engine raised {type(error).__name__} at command {number}",
        number=number,
        last=taken.segments[-1].last if taken.segments else number,
        order=order,
        user=user,
        trace=taken.trace,
    )


def _named(taken: Taken) -> tuple[int, int]:
    """(order, user) of which a single command speaks; zeros for several, or none."""
    if taken.count != 1:
        return 0, 0
    segment = taken.segments[0]
    command = segment.commands[0]
    own = segment.first if isinstance(command, NewOrder) else 0
    return getattr(command, "order", own), getattr(command, "user", 0)
