"""The committed state of a market beside its engine, which may already be a batch ahead.

What leaves the process (depth images for API replicas, the Redis mirror, images for PostgreSQL)
is made from here and never from the engine.
"""

from __future__ import annotations

import asyncio

from gomatch.engine import Engine, Side
from gomatch.messages.applied import Summary
from gomatch.messages.codec import image_beginning, pack_header, pack_order
from gomatch_matcher.matched import MatchedBatch, MirrorState, Place

_SLICE = 5_000


class CommittedState:
    """``epoch``, ``sequence``, ``applied`` and ``chain`` are those of the last commit."""

    def __init__(self, engine: Engine, *, epoch: int, chain: bytes) -> None:
        self.epoch = epoch
        self.sequence = engine.sequence
        self.applied = engine.applied
        self.chain = chain
        self.time = engine.time
        self.header = pack_header(engine.header())
        self.bids = dict(engine.depth(Side.BUY, None))
        self.asks = dict(engine.depth(Side.SELL, None))
        self.orders: dict[int, bytes] = {}
        self.places: dict[int, Place] = {}
        for order in engine.image().orders:
            self.orders[order.number] = pack_order(order)
            if order.priority:
                self.places[order.number] = (order.side, order.price, order.priority)
        indicative = engine.indicative() or (0, 0)
        self.summary = Summary(
            state=engine.state,
            last_price=engine.last_price,
            indicative_price=indicative[0],
            indicative_volume=indicative[1],
        )

    def advance(self, batch: MatchedBatch) -> dict[int, Place | None]:
        """Take over a batch whose commit is confirmed. Returns where the orders that it touched
        stood in the book before it."""
        before = {number: self.places.get(number) for number in batch.mirror.places}
        applied = batch.applied
        self.sequence = applied.last_sequence
        self.applied = applied.applied
        self.chain = batch.chain
        self.time = applied.time
        self.header = batch.header
        self.summary = applied.summary
        for levels, changed in ((self.bids, applied.bids), (self.asks, applied.asks)):
            for price, displayed in changed.items():
                if displayed:
                    levels[price] = displayed
                else:
                    levels.pop(price, None)
        for number, packed in batch.mirror.orders.items():
            if packed is None:
                self.orders.pop(number, None)
            else:
                self.orders[number] = packed
        for number, place in batch.mirror.places.items():
            if place is None:
                self.places.pop(number, None)
            else:
                self.places[number] = place
        return before

    def mirror_state(self) -> MirrorState:
        """A copy that later commits do not change."""
        return MirrorState(
            self.sequence, self.chain, self.header, dict(self.orders), dict(self.places)
        )

    async def image(self) -> bytes:
        """The packed image at the ``sequence`` of this moment, for PostgreSQL. Commits go on
        meanwhile: only a copy of the references is made at once."""
        header, orders = self.header, dict(self.orders)
        numbers = sorted(orders)
        parts = [image_beginning(header, len(numbers))]
        for start in range(0, len(numbers), _SLICE):
            await asyncio.sleep(0)
            parts.append(b"".join([orders[one] for one in numbers[start : start + _SLICE]]))
        return b"".join(parts)
