"""Reads where the mirrors stand, all in few round trips, and deletes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redis.exceptions import AuthenticationError, NoPermissionError

from gomatch.cache import BookMirror, MirrorMeta, RedisClient, survey
from gomatch.errors import CacheError
from gomatch_operator.errors import MirrorUnavailable


class CacheReconciler:
    """``client`` is closed by its owner. All methods raise MirrorUnavailable. What to ask for is
    decided by `StaleWatch`, and asked for in the lease's row."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def observe(self, symbols: Sequence[str]) -> Mapping[str, MirrorMeta | None]:
        """None for a mirror that is missing or not whole."""
        try:
            return await survey(self._client, symbols)
        except CacheError as error:
            raise _unavailable(error) from error

    async def delete(self, symbol: str) -> None:
        """All keys of a market. Doing it twice does no harm."""
        try:
            await BookMirror(self._client, symbol).delete()
        except CacheError as error:
            raise _unavailable(error) from error


def _unavailable(error: CacheError) -> MirrorUnavailable:
    refused = isinstance(error.__cause__, AuthenticationError | NoPermissionError)
    return MirrorUnavailable(str(error), refused=refused)
