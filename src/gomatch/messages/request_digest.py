"""What tells a repeated request from a different one that came under the same client id."""

from __future__ import annotations

from hashlib import blake2b

from gomatch.engine import Command
from gomatch.messages.codec import pack_command

DIGEST_BYTES = 16


def request_digest(command: Command, symbol: str) -> bytes:
    """BLAKE2b-128 of the command, as it is accepted, and its market: `client_ids.digest` of
    orders, cancels and amends."""
    return blake2b(pack_command(command) + symbol.encode(), digest_size=DIGEST_BYTES).digest()
