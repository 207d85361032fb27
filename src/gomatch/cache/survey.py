"""Where the mirrors of many markets stand, in few round trips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from redis.exceptions import ResponseError

from gomatch.cache.client import Argument, RedisClient
from gomatch.cache.encoding import META_FIELDS, decode_meta
from gomatch.cache.keys import MarketKeys
from gomatch.cache.values import MirrorMeta
from gomatch.errors import CacheStale

_AT_ONCE = 200
"""Markets in one MULTI, which holds Redis up for less than a millisecond."""


async def survey(client: RedisClient, symbols: Sequence[str]) -> dict[str, MirrorMeta | None]:
    """None for a mirror that is missing, not whole, or just being written. Raises CacheError when
    Redis fails or refuses the user."""
    found: dict[str, MirrorMeta | None] = {}
    for start in range(0, len(symbols), _AT_ONCE):
        some = symbols[start : start + _AT_ONCE]
        answers = await client.answers(command for each in some for command in _questions(each))
        for index, symbol in enumerate(some):
            found[symbol] = _meta(answers[index * _EACH : (index + 1) * _EACH])
    return found


def _questions(symbol: str) -> Iterator[Sequence[Argument]]:
    keys = MarketKeys.of(symbol)
    yield "HMGET", keys.meta, *META_FIELDS
    yield "HLEN", keys.orders
    yield "ZCARD", keys.bids
    yield "ZCARD", keys.asks
    yield "HLEN", keys.depth


_EACH = 5
"""Answers for one market."""


def _meta(answers: Sequence[Any]) -> MirrorMeta | None:
    if any(isinstance(answer, ResponseError) for answer in answers):
        return None  # a key that somebody made of another type
    values, *sizes = answers
    try:
        meta = decode_meta(values)
    except CacheStale:
        return None
    if meta is not None and sizes != [meta.orders, meta.bids, meta.asks, meta.levels]:
        return None
    return meta
