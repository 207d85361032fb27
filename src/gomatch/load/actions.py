"""What a client asks for, ready to be joined into a request: one item of a batch, one REST call
or one message on the stream."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple


class Verb(Enum):
    """``op`` is the name on the stream."""

    NEW = b"place"
    CANCEL = b"cancel"
    AMEND = b"amend"

    @property
    def op(self) -> bytes:
        return self.value


_ITEM_HEADS = {
    Verb.NEW: b'{"action":"new",',
    Verb.CANCEL: b'{"action":"cancel",',
    Verb.AMEND: b'{"action":"amend",',
}


class Action(NamedTuple):
    """``members`` are its JSON members without braces. ``order`` is the id of the order that a
    cancel or amend speaks of (empty when it speaks of a client order id). ``takes`` marks an
    order that should trade at once, ``deep`` one that is likely to rest."""

    verb: Verb
    members: bytes
    order: str = ""
    takes: bool = False
    deep: bool = False


def cancel_action(order: str) -> Action:
    return Action(Verb.CANCEL, b'"id":"%b"' % order.encode(), order)


def encode_items(actions: Sequence[Action]) -> bytes:
    """The JSON array of a batch."""
    heads = _ITEM_HEADS
    return b"[" + b"},".join([heads[verb] + rest for verb, rest, *_ in actions]) + b"}]"
