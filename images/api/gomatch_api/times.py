"""RFC 3339 times in UTC with microseconds, to and from integer microseconds since the epoch."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def now() -> int:
    """Wall clock, microseconds since the epoch."""
    return time.time_ns() // 1000


@lru_cache(maxsize=1_024)
def format_time(microseconds: int) -> str:
    """``2026-11-23T00:00:00.000000Z``. Cached: all commands of one accept and all events of one
    batch have the same time."""
    moment = _NAIVE_EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> int:
    """Raises ValueError unless ``text`` is an RFC 3339 time with at most microseconds."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 time")
    moment = datetime.fromisoformat(text.upper())
    return (moment - _EPOCH) // _MICROSECOND
