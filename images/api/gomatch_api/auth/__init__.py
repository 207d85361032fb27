"""Who is calling, what they may do, and how fast."""

from gomatch_api.auth.keyring import KeyRing
from gomatch_api.auth.principal import ADMIN, READ, TRADE, Principal

__all__ = ["ADMIN", "READ", "TRADE", "KeyRing", "Principal"]
