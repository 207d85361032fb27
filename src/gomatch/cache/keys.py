"""Names of a market's keys, and how an order stands in its sorted sets.

All keys of a market carry the hash tag ``{SYMBOL}``, so that they live on one node of a cluster
and one script may touch them all.

    gomatch:{BTC-USDT}:bids     sorted set: score = -price in ticks, member = priority:number
    gomatch:{BTC-USDT}:asks     sorted set: score = price in ticks, member = priority:number
    gomatch:{BTC-USDT}:orders   hash: order number -> packed OrderImage, waiting stops too
    gomatch:{BTC-USDT}:depth    hash: b<price> or a<price> -> displayed lots
    gomatch:{BTC-USDT}:meta     hash: see lua/write.lua

Members of equal score are ordered by their bytes, and the priority has a fixed width: so the
order of the set is price, then time.
"""

from __future__ import annotations

from dataclasses import dataclass

from gomatch.errors import CacheStale

_PRIORITY_WIDTH = 16
"""Enough for 2**53, beyond which scores and scripts are not exact either."""
_MEMBER = f"%0{_PRIORITY_WIDTH}d:%d"


@dataclass(frozen=True, slots=True)
class MarketKeys:
    """The keys under one prefix: a market's own, or those of a rebuild in progress."""

    meta: str
    orders: str
    bids: str
    asks: str
    depth: str

    @classmethod
    def of(cls, symbol: str) -> MarketKeys:
        return cls._under(_prefix(symbol))

    @classmethod
    def of_rebuild(cls, symbol: str, token: str) -> MarketKeys:
        """Temporary keys of one rebuild; ``meta`` is never written there."""
        return cls._under(f"{rebuild_prefix(symbol)}{token}")

    @classmethod
    def _under(cls, prefix: str) -> MarketKeys:
        names = ("meta", "orders", "bids", "asks", "depth")
        return cls(*(f"{prefix}:{name}" for name in names))

    def all(self) -> tuple[str, str, str, str, str]:
        """In the order in which the scripts take them."""
        return self.meta, self.orders, self.bids, self.asks, self.depth


def rebuilds_key(symbol: str) -> str:
    """Set of the tokens of rebuilds that were begun and not finished."""
    return f"{_prefix(symbol)}:rebuilds"


def rebuild_prefix(symbol: str) -> str:
    """The temporary keys of a rebuild begin with this and its token."""
    return f"{_prefix(symbol)}:rebuild:"


def book_member(priority: int, number: int) -> str:
    return _MEMBER % (priority, number)


def parse_book_member(member: bytes) -> tuple[int, int]:
    """(priority, order number). Raises CacheStale on a member that we cannot have written."""
    priority, _, number = member.partition(b":")
    if len(priority) != _PRIORITY_WIDTH or not (priority.isdigit() and number.isdigit()):
        raise CacheStale(f"a sorted set holds {member!r}, which is no book member")
    return int(priority), int(number)


def _prefix(symbol: str) -> str:
    return f"gomatch:{{{symbol}}}"
