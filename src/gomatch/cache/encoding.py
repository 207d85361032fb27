"""Between the mirror's values and the arguments and answers of Redis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gomatch.cache.keys import book_member, parse_book_member
from gomatch.cache.values import BookEntry, MirrorMeta
from gomatch.engine import Side, TradingState
from gomatch.errors import CacheStale

FORMAT = "1"
"""Version of the keys' layout; a mirror of another version is stale."""

META_FIELDS = (
    "format",
    "epoch",
    "sequence",
    "chain",
    "applied",
    "state",
    "last_price",
    "orders",
    "bids",
    "asks",
    "levels",
    "writing",
)
"""The last one only stands there until a write is finished."""

_LETTERS = {Side.BUY: "b", Side.SELL: "a"}


def score_and_member(entry: BookEntry) -> tuple[int, str]:
    side, price, priority, number = entry
    return (-price if side == Side.BUY else price), book_member(priority, number)


def level_field(side: Side, price: int) -> str:
    return f"{_LETTERS[side]}{price}"


def decode_meta(values: Sequence[bytes | None]) -> MirrorMeta | None:
    """From the values of META_FIELDS; None when there are none. Raises CacheStale."""
    present = [value for value in values[:-1] if value is not None]
    if not present:
        return None
    if len(present) != len(META_FIELDS) - 1:
        raise CacheStale("the mirror's meta lacks fields")
    if values[-1] is not None:
        raise CacheStale("a write of the mirror goes on or was never finished")
    if present[0] != FORMAT.encode():
        raise CacheStale(f"the mirror has format {present[0]!r}, this build writes {FORMAT}")
    try:
        return MirrorMeta(
            epoch=int(present[1]),
            sequence=int(present[2]),
            chain=bytes.fromhex(present[3].decode("ascii")),
            applied=int(present[4]),
            state=TradingState(int(present[5])),
            last_price=int(present[6]),
            orders=int(present[7]),
            bids=int(present[8]),
            asks=int(present[9]),
            levels=int(present[10]),
        )
    except ValueError as error:
        raise CacheStale(f"the mirror's meta cannot be read: {error}") from error


def decode_orders(stored: Mapping[bytes, bytes]) -> dict[int, bytes]:
    """Raises CacheStale."""
    try:
        return {int(number): packed for number, packed in stored.items()}
    except ValueError as error:
        raise CacheStale("the mirror's orders have a field that is no number") from error


def decode_book(side: Side, flat: Sequence[bytes]) -> list[BookEntry]:
    """From members and scores in turn. Raises CacheStale."""
    sign = -1 if side == Side.BUY else 1
    entries: list[BookEntry] = []
    for member, score in zip(flat[::2], flat[1::2], strict=True):
        priority, number = parse_book_member(member)
        entries.append((int(side), sign * int(float(score)), priority, number))
    return entries


def decode_levels(side: Side, stored: Mapping[bytes, bytes]) -> dict[int, int]:
    """The levels of one side. Raises CacheStale."""
    letter = _LETTERS[side].encode()
    try:
        return {
            int(field[1:]): int(displayed)
            for field, displayed in stored.items()
            if field[:1] == letter
        }
    except ValueError as error:
        raise CacheStale("the mirror's depth has a field that is no level") from error


def check_answer(answer: Any, symbol: str) -> None:
    """Raises CacheStale when a script refused."""
    if answer[0] == 0:
        why, epoch, sequence = (part.decode() for part in answer[1:])
        raise CacheStale(
            f"the mirror of {symbol} stands at epoch {epoch}, sequence {sequence}: {_WHY[why]}"
        )


_WHY = {
    "missing": "it is not there",
    "format": "another version of gomatch wrote it",
    "epoch": "a newer leader has written it",
    "position": "that is not where it was expected",
    "torn": "its parts do not add up",
}
