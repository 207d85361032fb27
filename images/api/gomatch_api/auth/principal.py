"""The caller of a request."""

from __future__ import annotations

import time
from collections.abc import Callable

from gomatch_api import codes
from gomatch_api.auth.rate_limit import TokenBucket
from gomatch_api.problems import Problem

READ = "read"
TRADE = "trade"
ADMIN = "admin"


class Principal:
    """One API key: whose it is, what it may do, and its rate limit on this replica.

    ``secret`` stays inside this process. ``revoked`` turns True once and for all.
    """

    __slots__ = (
        "_clock",
        "bucket",
        "key_id",
        "revoked",
        "scopes",
        "secret",
        "user_id",
        "user_name",
    )

    def __init__(
        self,
        *,
        key_id: str,
        user_id: int,
        user_name: str,
        scopes: frozenset[str],
        secret: str,
        rate: float,
        burst_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.key_id = key_id
        self.user_id = user_id
        self.user_name = user_name
        self.scopes = scopes
        self.secret = secret.encode()
        self.revoked = False
        self._clock = clock
        self.bucket = (
            TokenBucket(rate=rate, capacity=rate * burst_seconds, now=clock()) if rate > 0 else None
        )

    def require(self, scope: str) -> None:
        """Raises Problem ``scope_missing``."""
        if scope not in self.scopes:
            raise Problem(codes.SCOPE_MISSING, f"This needs the scope `{scope}`.")

    def spend(self, commands: int) -> None:
        """Count commands against the rate limit. Raises Problem ``rate_limited``, and then
        nothing was counted."""
        if self.bucket is None:
            return
        wait = self.bucket.take(commands, self._clock())
        if wait > 0:
            raise Problem(codes.RATE_LIMITED, retry_after=wait)
