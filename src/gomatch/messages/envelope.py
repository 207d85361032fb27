"""What travels on the queue: consecutive commands of one market, with their first number."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gomatch.engine import Command
from gomatch.messages.codec import unpack_commands


class CommandBatch(msgspec.Struct, frozen=True, gc=False):
    """Commands ``first``..``last`` of a market, as accepted: ``bodies`` is the compact form.

    ``accepted_at`` is PostgreSQL's time of acceptance in microseconds since the epoch;
    ``trace`` a W3C traceparent or empty.
    """

    market: str
    first: int
    last: int
    accepted_at: int
    bodies: bytes
    trace: str = ""

    def commands(self) -> Sequence[Command]:
        """Raises CodecError, also when the count is not last - first + 1."""
        return unpack_commands(self.bodies)
