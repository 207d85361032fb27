"""What travels on the queue: consecutive commands of one market, with their first number."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gomatch.engine import Command
from gomatch.errors import CodecError
from gomatch.messages.codec import unpack_commands


class CommandBatch(msgspec.Struct, frozen=True, gc=False):
    """Commands ``first``..``last`` of a market, as accepted: ``bodies`` is the compact form.

    ``accepted_at`` is PostgreSQL's time of acceptance in microseconds since the epoch;
    ``trace`` the W3C traceparents of its requests, separated by commas, or empty.
    """

    market: str
    first: int
    last: int
    accepted_at: int
    bodies: bytes
    trace: str = ""

    def commands(self) -> Sequence[Command]:
        """Raises CodecError, also when their count is not last - first + 1."""
        commands = unpack_commands(self.bodies)
        if len(commands) != self.last - self.first + 1:
            raise CodecError(f"{len(commands)} commands under numbers {self.first} to {self.last}")
        return commands
