"""Recorded flows in the LOBSTER message format (https://lobsterdata.com).

A message file is CSV without a header: time (seconds after midnight), type, order id, size, price
(dollars * 10,000), direction (1 buy, -1 sell: of the limit order, also where it was executed).
A message file does not hold the book that was there before it began, but speaks of its orders;
so orders that are mentioned and never entered are entered first, with the size mentioned.

    type                        becomes
    1  new limit order          a limit order
    2  partial cancellation     an amend to the smaller quantity
    3  deletion                 a cancel
    4  visible execution        the aggressive order: immediate-or-cancel, from the other side, at
                                the price and of the size of the execution
    5  hidden execution         skipped: hidden orders are in no message
    6  cross trade (auction)    skipped
    7  trading halt             skipped
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from pathlib import Path

from gomatch.errors import LoadError

_PRICE_UNIT = 100_000
"""1/10,000 of a dollar, in 1e-9."""
_FIELDS = 6


class MessageType(IntEnum):
    NEW = 1
    PARTIAL_CANCEL = 2
    DELETE = 3
    EXECUTION = 4
    HIDDEN_EXECUTION = 5
    CROSS_TRADE = 6
    HALT = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """``time`` is in microseconds after midnight, ``price`` in 1e-9 of the quote asset, ``size``
    in whole units (shares); ``buy`` is the side of the limit order that it speaks of."""

    time: int
    type: MessageType
    order: int
    size: int
    price: int
    buy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPlace:
    """A limit order; ``aggressive`` ones are immediate-or-cancel and have no order id."""

    time: int
    buy: bool
    price: int
    size: int
    order: int
    aggressive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAmend:
    """``quantity`` is the new total, what was filled before included."""

    time: int
    order: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCancel:
    time: int
    order: int


Recorded = RecordedPlace | RecordedAmend | RecordedCancel


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """``opening`` orders stood in the book before the file began. ``skipped`` counts messages
    that have no counterpart here, by type."""

    opening: tuple[RecordedPlace, ...]
    steps: tuple[Recorded, ...]
    skipped: dict[str, int] = field(default_factory=dict)


def read_recording(path: Path) -> Recording:
    """Read a whole message file. Raises LoadError when it cannot be read, naming the line."""
    try:
        with path.open(encoding="ascii") as lines:
            messages = list(parse_messages(lines))
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"cannot read {path}: {error}") from error
    return convert(messages)


def parse_messages(lines: Iterable[str]) -> Iterator[Message]:
    """Raises LoadError at the first line that is no message."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parse(line, number)


def _parse(line: str, number: int) -> Message:
    fields = line.strip().split(",")
    if len(fields) < _FIELDS:
        raise LoadError(f"line {number}: a LOBSTER message has {_FIELDS} fields")
    try:
        kind = MessageType(int(fields[1]))
        message = Message(
            time=int(Decimal(fields[0]) * 1_000_000),
            type=kind,
            order=int(fields[2]),
            size=int(fields[3]),
            price=int(fields[4]) * _PRICE_UNIT,
            buy=int(fields[5]) == 1,
        )
    except (ValueError, OverflowError, InvalidOperation) as error:
        raise LoadError(f"line {number}: not a LOBSTER message: {error}") from error
    enters_book = kind <= MessageType.EXECUTION
    if enters_book and (message.size <= 0 or message.price <= 0 or fields[5] not in {"1", "-1"}):
        raise LoadError(f"line {number}: size and price must be above 0, direction 1 or -1")
    return message


def convert(messages: Sequence[Message]) -> Recording:
    """Turn messages into what a client would have sent for the same book and trades."""
    opening = _opening_orders(messages)
    totals = {order: place.size for order, place in opening.items()}
    steps: list[Recorded] = []
    skipped: Counter[str] = Counter()
    for message in messages:
        if message.type > MessageType.EXECUTION:
            skipped[message.type.name.lower()] += 1
        elif message.type is MessageType.NEW:
            totals[message.order] = message.size
            steps.append(_place(message, buy=message.buy))
        elif message.type is MessageType.EXECUTION:
            steps.append(_place(message, buy=not message.buy, aggressive=True))
        elif message.type is MessageType.DELETE:
            steps.append(RecordedCancel(time=message.time, order=message.order))
        else:
            totals[message.order] -= message.size
            steps.append(_reduction(message, totals[message.order]))
    return Recording(
        opening=tuple(opening[order] for order in sorted(opening)),
        steps=tuple(steps),
        skipped=dict(skipped),
    )


def _opening_orders(messages: Sequence[Message]) -> dict[int, RecordedPlace]:
    entered: set[int] = set()
    opening: dict[int, RecordedPlace] = {}
    for message in messages:
        if message.type is MessageType.NEW:
            entered.add(message.order)
        elif message.type <= MessageType.EXECUTION and message.order not in entered:
            known = opening.get(message.order)
            if known is None:
                opening[message.order] = replace(_place(message, buy=message.buy), time=0)
            else:
                opening[message.order] = replace(known, size=known.size + message.size)
    return opening


def _reduction(message: Message, total: int) -> RecordedAmend | RecordedCancel:
    if total <= 0:
        return RecordedCancel(time=message.time, order=message.order)
    return RecordedAmend(time=message.time, order=message.order, quantity=total)


def _place(message: Message, *, buy: bool, aggressive: bool = False) -> RecordedPlace:
    return RecordedPlace(
        time=message.time,
        buy=buy,
        price=message.price,
        size=message.size,
        order=0 if aggressive else message.order,
        aggressive=aggressive,
    )
