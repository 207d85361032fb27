"""One market's book in Redis: written a batch at a time, rebuilt whole, read at one moment."""

from __future__ import annotations

from typing import Any

from gomatch.cache.client import RedisClient
from gomatch.cache.encoding import (
    META_FIELDS,
    check_answer,
    decode_book,
    decode_levels,
    decode_meta,
    decode_orders,
)
from gomatch.cache.keys import MarketKeys, rebuild_prefix, rebuilds_key
from gomatch.cache.rebuild import rebuild
from gomatch.cache.updates import calls
from gomatch.cache.values import (
    MirrorContents,
    MirrorImage,
    MirrorMeta,
    MirrorSnapshot,
    MirrorUpdate,
)
from gomatch.credentials import Endpoint
from gomatch.engine import Side
from gomatch.errors import CacheStale


class BookMirror:
    """All methods raise CacheError when Redis fails or does not answer in time, and CacheStale,
    a kind of it, when Redis holds something else than it should."""

    def __init__(
        self, redis: str | Endpoint | RedisClient, symbol: str, *, timeout: float = 2.0
    ) -> None:
        """``redis`` is where it is, or a client to share, which its owner closes. ``timeout`` is in
        seconds, for each call. Raises ConfigurationError on a URL that cannot be one."""
        self._owned = not isinstance(redis, RedisClient)
        self._client = (
            redis if isinstance(redis, RedisClient) else RedisClient(redis, timeout=timeout)
        )
        self._symbol = symbol
        self._keys = MarketKeys.of(symbol)

    async def write(self, update: MirrorUpdate) -> None:
        """One atomic write. Raises CacheStale, changing nothing, when the mirror is not whole, not
        at ``expected_sequence`` and ``expected_chain``, or of a newer epoch. Writing the same
        update again does nothing.

        A write of more than CHANGES_AT_ONCE changes goes in several calls, so that it does not
        hold Redis up; from the first to the last one the mirror is stale for readers.
        """
        for arguments in calls(update):
            answer = await self._client.evaluate("write", self._keys.all(), arguments)
            check_answer(answer, self._symbol)

    async def rebuild(self, image: MirrorImage) -> None:
        """Replace the whole mirror. What it held stays until the last moment, and for good when
        this fails. Raises CacheStale when it is of a newer epoch, or further in this one."""
        await rebuild(self._client, self._symbol, image)

    async def load(self) -> MirrorSnapshot | None:
        """All that an engine is restored from, read at one moment; None when there is no mirror.
        Raises CacheStale when it does not add up."""
        keys = self._keys
        values, orders, bids, asks, levels = await self._client.pipeline(
            [
                ("HMGET", keys.meta, *META_FIELDS, "header"),
                ("HGETALL", keys.orders),
                ("ZCARD", keys.bids),
                ("ZCARD", keys.asks),
                ("HLEN", keys.depth),
            ],
            transaction=True,
        )
        meta = decode_meta(values[:-1])
        if meta is None:
            return None
        self._check_whole(meta, values[-1], (len(orders), bids, asks, levels))
        return MirrorSnapshot(meta=meta, header=values[-1], orders=decode_orders(orders))

    async def contents(self) -> MirrorContents | None:
        """Everything in the mirror, read at one moment; None when there is none. Raises
        CacheStale when it does not add up."""
        keys = self._keys
        values, orders, bids, asks, levels = await self._client.pipeline(
            [
                ("HMGET", keys.meta, *META_FIELDS, "header"),
                ("HGETALL", keys.orders),
                ("ZRANGE", keys.bids, 0, -1, "WITHSCORES"),
                ("ZRANGE", keys.asks, 0, -1, "WITHSCORES"),
                ("HGETALL", keys.depth),
            ],
            transaction=True,
        )
        meta = decode_meta(values[:-1])
        if meta is None:
            return None
        sizes = (len(orders), len(bids) // 2, len(asks) // 2, len(levels))
        self._check_whole(meta, values[-1], sizes)
        return MirrorContents(
            meta=meta,
            header=values[-1],
            orders=decode_orders(orders),
            bids=decode_book(Side.BUY, bids),
            asks=decode_book(Side.SELL, asks),
            bid_levels=decode_levels(Side.BUY, levels),
            ask_levels=decode_levels(Side.SELL, levels),
        )

    async def delete(self) -> None:
        """Remove all keys of the market, those of unfinished rebuilds too."""
        await self._client.evaluate(
            "delete",
            (*self._keys.all(), rebuilds_key(self._symbol)),
            (rebuild_prefix(self._symbol),),
        )

    async def close(self) -> None:
        """Close the connections, unless the client is shared."""
        if self._owned:
            await self._client.close()

    def _check_whole(self, meta: MirrorMeta, header: Any, sizes: tuple[int, int, int, int]) -> None:
        if header is None or sizes != (meta.orders, meta.bids, meta.asks, meta.levels):
            raise CacheStale(
                f"the mirror of {self._symbol} at sequence {meta.sequence} does not add up: "
                f"orders, bids, asks, levels are {sizes}"
            )
