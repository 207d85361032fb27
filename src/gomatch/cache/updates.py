"""A MirrorUpdate as arguments of lua/write.lua: one call, or several bounded ones if it is large.

The changes travel as one msgpack value, which costs client and server less than an argument for
each. Redis' msgpack has no binary type, so packed orders go as strings of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import msgspec

from gomatch.cache.client import Argument
from gomatch.cache.encoding import FORMAT
from gomatch.cache.keys import book_member
from gomatch.cache.values import BookEntry, MirrorUpdate
from gomatch.engine import Side

CHANGES_AT_ONCE = 5_000
"""Most changes in one call, so that none holds Redis up for long."""
_EXACT = 1 << 53
"""From here on Lua's numbers are not exact: larger ones travel as strings."""

_T = TypeVar("_T")
_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Changes:
    orders_set: Mapping[int, bytes] = field(default_factory=dict)
    orders_removed: Sequence[int] = ()
    book_set: Sequence[BookEntry] = ()
    book_removed: Sequence[BookEntry] = ()
    bids: Mapping[int, int] = field(default_factory=dict)
    asks: Mapping[int, int] = field(default_factory=dict)


def calls(update: MirrorUpdate, *, at_once: int = CHANGES_AT_ONCE) -> Iterator[list[Argument]]:
    """The arguments of each call, encoded as they are asked for."""
    parts = _split(update, at_once)
    part = next(parts)
    more = next(parts, None)
    name = "only" if more is None else "first"
    while more is not None:
        yield _arguments(update, name, part)
        part, more, name = more, next(parts, None), "middle"
    yield _arguments(update, "only" if name == "only" else "last", part)


def _split(update: MirrorUpdate, at_once: int) -> Iterator[_Changes]:
    """What is removed comes before what is set, as an order that moved is in both."""
    count = (
        len(update.orders_set)
        + len(update.orders_removed)
        + len(update.book_set)
        + len(update.book_removed)
        + len(update.bids)
        + len(update.asks)
    )
    if count <= at_once:
        yield _Changes(
            orders_set=update.orders_set,
            orders_removed=update.orders_removed,
            book_set=update.book_set,
            book_removed=update.book_removed,
            bids=update.bids,
            asks=update.asks,
        )
        return
    for entries in _slices(update.book_removed, at_once):
        yield _Changes(book_removed=entries)
    for numbers in _slices(update.orders_removed, at_once):
        yield _Changes(orders_removed=numbers)
    for entries in _slices(update.book_set, at_once):
        yield _Changes(book_set=entries)
    for orders in _pieces(update.orders_set, at_once):
        yield _Changes(orders_set=orders)
    for levels in _pieces(update.bids, at_once):
        yield _Changes(bids=levels)
    for levels in _pieces(update.asks, at_once):
        yield _Changes(asks=levels)


def _slices(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _pieces(items: Mapping[int, _T], size: int) -> Iterator[dict[int, _T]]:
    remaining = iter(items.items())
    while piece := dict(islice(remaining, size)):
        yield piece


def _arguments(update: MirrorUpdate, part: str, changes: _Changes) -> list[Argument]:
    return [
        FORMAT,
        update.epoch,
        update.expected_sequence,
        update.expected_chain.hex(),
        update.sequence,
        update.chain.hex(),
        update.applied,
        int(update.state),
        update.last_price,
        update.header,
        part,
        _encoder.encode(_groups(changes)),
    ]


def _groups(changes: _Changes) -> tuple[Sequence[object], ...]:
    """In the order in which lua/write.lua takes them."""
    removed_bids: list[str] = []
    removed_asks: list[str] = []
    for side, _, priority, number in changes.book_removed:
        (removed_bids if side == Side.BUY else removed_asks).append(book_member(priority, number))
    set_bids: list[int | str] = []
    set_asks: list[int | str] = []
    for side, price, priority, number in changes.book_set:
        if side == Side.BUY:
            set_bids += (-price, book_member(priority, number))
        else:
            set_asks += (price, book_member(priority, number))
    set_orders: list[int | msgspec.Raw] = []
    for number, packed in changes.orders_set.items():
        length = len(packed).to_bytes(4, "big")
        set_orders += (number, msgspec.Raw(b"\xdb" + length + packed))
    removed_levels: list[str] = []
    set_levels: list[str | int] = []
    for letter, levels in (("b", changes.bids), ("a", changes.asks)):
        for price, displayed in levels.items():
            if not displayed:
                removed_levels.append(f"{letter}{price}")
            elif displayed < _EXACT:
                set_levels += (f"{letter}{price}", displayed)
            else:
                set_levels += (f"{letter}{price}", str(displayed))
    return (
        removed_bids,
        removed_asks,
        changes.orders_removed,
        removed_levels,
        set_bids,
        set_asks,
        set_orders,
        set_levels,
    )
