"""The mirror of a market's book in Redis or Valkey: written behind the commits, trusted by
nobody without its sequence and chain. PostgreSQL is the truth; every key here may be deleted at
any time."""

from gomatch.cache.client import RedisClient
from gomatch.cache.keys import MarketKeys, book_member, parse_book_member
from gomatch.cache.mirror import BookMirror
from gomatch.cache.survey import survey
from gomatch.cache.values import (
    BookEntry,
    MirrorContents,
    MirrorImage,
    MirrorMeta,
    MirrorSnapshot,
    MirrorUpdate,
)

__all__ = [
    "BookEntry",
    "BookMirror",
    "MarketKeys",
    "MirrorContents",
    "MirrorImage",
    "MirrorMeta",
    "MirrorSnapshot",
    "MirrorUpdate",
    "RedisClient",
    "book_member",
    "parse_book_member",
    "survey",
]
