"""A whole state into Redis: in bounded pieces to temporary keys, then swapped in at once."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from itertools import islice

from gomatch.cache.client import Argument, RedisClient
from gomatch.cache.encoding import FORMAT, check_answer, level_field, score_and_member
from gomatch.cache.keys import MarketKeys, rebuild_prefix, rebuilds_key
from gomatch.cache.values import MirrorImage
from gomatch.engine import Side

_PIECE = 500
"""Entries in one command, so that none holds Redis up for long."""
_PIECES_IN_FLIGHT = 4
"""Commands encoded in one go, so that they do not hold the event loop up either."""
_LEFTOVERS_EXPIRE = 600
"""Seconds after which the temporary keys of a rebuild that died go by themselves; the next
rebuild removes them at once."""


async def rebuild(client: RedisClient, symbol: str, image: MirrorImage) -> None:
    """Raises CacheStale when the mirror is newer than ``image``, CacheError when Redis fails; the
    old state is then untouched."""
    token = f"{image.epoch}-{secrets.token_hex(4)}"
    keys = MarketKeys.of(symbol)
    temporary = MarketKeys.of_rebuild(symbol, token)
    begun = await client.evaluate(
        "begin_rebuild",
        (keys.meta, rebuilds_key(symbol)),
        (FORMAT, image.epoch, image.sequence, token, rebuild_prefix(symbol)),
    )
    check_answer(begun, symbol)
    commands = _commands(image, temporary)
    while pieces := list(islice(commands, _PIECES_IN_FLIGHT)):
        await client.pipeline(pieces, transaction=False)
    bids = sum(1 for side, *_ in image.book if side == Side.BUY)
    swapped = await client.evaluate(
        "swap",
        (*keys.all(), *temporary.all()[1:], rebuilds_key(symbol)),
        (
            FORMAT,
            image.epoch,
            image.sequence,
            image.chain.hex(),
            image.applied,
            int(image.state),
            image.last_price,
            image.header,
            token,
            len(image.orders),
            bids,
            len(image.book) - bids,
            len(image.bids) + len(image.asks),
        ),
    )
    check_answer(swapped, symbol)


def _commands(image: MirrorImage, keys: MarketKeys) -> Iterator[list[Argument]]:
    """Lazily, so that only the pieces in flight are ever encoded."""
    contents: tuple[tuple[str, str, Iterable[tuple[Argument, Argument]]], ...] = (
        ("HSET", keys.orders, image.orders.items()),
        ("ZADD", keys.bids, (score_and_member(e) for e in image.book if e[0] == Side.BUY)),
        ("ZADD", keys.asks, (score_and_member(e) for e in image.book if e[0] != Side.BUY)),
        ("HSET", keys.depth, _levels(image)),
    )
    for command, key, pairs in contents:
        remaining = iter(pairs)
        expire: list[Argument] | None = ["EXPIRE", key, _LEFTOVERS_EXPIRE]
        while piece := list(islice(remaining, _PIECE)):
            yield [command, key, *(part for pair in piece for part in pair)]
            if expire:
                yield expire
                expire = None


def _levels(image: MirrorImage) -> Iterator[tuple[str, int]]:
    for side, levels in ((Side.BUY, image.bids), (Side.SELL, image.asks)):
        for price, displayed in levels.items():
            yield level_field(side, price), displayed
