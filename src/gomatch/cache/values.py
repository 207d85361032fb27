"""What goes into the mirror and what comes out of it.

Prices are ticks, quantities lots; chains are the 32 bytes of the journal's chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gomatch.engine import TradingState

BookEntry = tuple[int, int, int, int]
"""(side, price, priority, order number) of an order that stands in the book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMeta:
    """Where the mirror stands, and how much it must hold to be whole."""

    epoch: int
    sequence: int
    chain: bytes
    applied: int
    state: TradingState
    last_price: int
    orders: int
    bids: int
    asks: int
    levels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorUpdate:
    """All that changed since ``expected_sequence``, at which the mirror has to stand.

    ``orders_set`` are packed orders; numbers in ``orders_removed`` need not be in the mirror.
    An order that moved stands in both ``book_removed``, where it was, and ``book_set``.
    ``bids`` and ``asks`` are the displayed lots of the levels that changed, 0 when gone.
    """

    epoch: int
    expected_sequence: int
    expected_chain: bytes
    sequence: int
    chain: bytes
    applied: int
    header: bytes
    state: TradingState
    last_price: int
    orders_set: Mapping[int, bytes]
    orders_removed: Sequence[int]
    book_set: Sequence[BookEntry]
    book_removed: Sequence[BookEntry]
    bids: Mapping[int, int]
    asks: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorImage:
    """A market's whole state. ``orders`` are packed, by number; ``header`` is packed too."""

    epoch: int
    sequence: int
    chain: bytes
    applied: int
    header: bytes
    state: TradingState
    last_price: int
    orders: Mapping[int, bytes]
    book: Sequence[BookEntry]
    bids: Mapping[int, int]
    asks: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSnapshot:
    """What an engine is restored from, read at one moment."""

    meta: MirrorMeta
    header: bytes
    orders: Mapping[int, bytes]

    @property
    def sequence(self) -> int:
        return self.meta.sequence

    @property
    def chain(self) -> bytes:
        return self.meta.chain


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorContents:
    """Everything that the mirror holds, read at one moment, for audits. ``bids`` and ``asks``
    are in the order of their sorted sets: best price first, then priority."""

    meta: MirrorMeta
    header: bytes
    orders: Mapping[int, bytes]
    bids: Sequence[BookEntry]
    asks: Sequence[BookEntry]
    bid_levels: Mapping[int, int]
    ask_levels: Mapping[int, int]
