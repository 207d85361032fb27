"""All active API keys, held in memory; a revoked one stops within two seconds."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping

from gomatch.errors import StoreUnavailable
from gomatch.messages import credentials
from gomatch.observability import logs
from gomatch.store.records import ApiKeyRecord
from gomatch_api import codes
from gomatch_api.auth.principal import Principal
from gomatch_api.database import DatabaseHealth
from gomatch_api.ports import KeysStore
from gomatch_api.problems import Problem

_log = logs.get(__name__)

FULL_REFRESH_SECONDS = 10.0
"""How often all active keys are read, beside the frequent look for those revoked lately."""

PAGE_KEYS = 1_000
"""Keys of one query: few enough that nobody waits while they are taken in."""

_REVOCATION_OVERLAP = 10_000_000
"""Microseconds by which each look for revoked keys reaches back over the one before."""

RevokeCallback = Callable[[Principal], None]


class UnknownKey(Problem):
    """The token is genuine, but its key is not known here yet: it may be new."""

    def __init__(self, key_id: str) -> None:
        super().__init__(codes.UNAUTHENTICATED, "There is no such API key.")
        self.key_id = key_id


class KeyRing:
    """``refresh`` once before use; ``run`` keeps it current."""

    def __init__(
        self,
        store: KeysStore,
        health: DatabaseHealth,
        *,
        server_key: bytes,
        rate_limit: float,
        rate_burst: float,
        refresh_seconds: float,
    ) -> None:
        self._store = store
        self._health = health
        self._server_key = server_key
        self._rate_limit = rate_limit
        self._rate_burst = rate_burst
        self._refresh_seconds = refresh_seconds
        self._principals: dict[str, Principal] = {}
        self._revoked: set[str] = set()
        self._callbacks: list[RevokeCallback] = []
        self._seen = 0
        self.loaded = False

    def on_revoke(self, callback: RevokeCallback) -> Callable[[], None]:
        """``callback`` is called once for each key that gets revoked, to close its streams; call
        what is returned to stop that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def authenticate_token(self, token: str) -> Principal:
        """The caller with this bearer token. Raises Problem."""
        parts = credentials.split_token(token)
        if parts is None:
            raise Problem(codes.UNAUTHENTICATED, "The token has the form <key_id>.<secret>.")
        key_id, secret = parts
        principal = self._principals.get(key_id)
        if principal is not None:
            if not hmac.compare_digest(principal.secret, secret.encode()):
                raise Problem(codes.UNAUTHENTICATED, "The secret is not that of this key.")
            if principal.revoked:
                raise Problem(codes.KEY_REVOKED)
            return principal
        expected = credentials.derive_secret(self._server_key, key_id)
        if not hmac.compare_digest(expected.encode(), secret.encode()):
            raise Problem(codes.UNAUTHENTICATED, "There is no such API key.")
        if key_id in self._revoked:
            raise Problem(codes.KEY_REVOKED)
        raise UnknownKey(key_id)

    def authenticate(
        self, headers: Mapping[str, str], *, method: str = "", target: str = "", body: bytes = b""
    ) -> Principal:
        """The caller with these headers (lower-case names): a bearer token, or a signature over
        ``method``, ``target`` (path and query as sent) and ``body``. Raises Problem."""
        authorization = headers.get("authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise Problem(codes.UNAUTHENTICATED, "Use `Authorization: Bearer <key>`.")
            return self.authenticate_token(token.strip())
        key_id = headers.get("x-gomatch-key")
        if key_id is None:
            raise Problem(codes.UNAUTHENTICATED, "Send an API key.")
        return self._signed(key_id, headers, method, target, body)

    async def identify(
        self, headers: Mapping[str, str], *, method: str = "", target: str = "", body: bytes = b""
    ) -> Principal:
        """As authenticate, but a key that was made a moment ago is looked up. Only a genuine
        token leads to a query. Raises Problem."""
        try:
            return self.authenticate(headers, method=method, target=target, body=body)
        except UnknownKey as unknown:
            await self._look_up(unknown.key_id)
        return self.authenticate(headers, method=method, target=target, body=body)

    async def identify_token(self, token: str) -> Principal:
        """As authenticate_token, but a key that was made a moment ago is looked up."""
        try:
            return self.authenticate_token(token)
        except UnknownKey as unknown:
            await self._look_up(unknown.key_id)
        return self.authenticate_token(token)

    async def refresh(self) -> None:
        """Read all active keys, page by page. Raises StoreUnavailable."""
        if not self.loaded:
            # PostgreSQL's own time, so that this host's clock does not matter.
            self._seen = await self._store.now()
        gone = set(self._principals)
        after = ""
        while True:
            page = await self._store.active(after, limit=PAGE_KEYS)
            for record in page:
                self._take(record)
                gone.discard(record.key_id)
            if len(page) < PAGE_KEYS:
                break
            after = page[-1].key_id
        for key_id in gone:
            self._forget(key_id)
        self.loaded = True

    async def run(self) -> None:
        """Look for revoked keys every ``refresh_seconds``, and for all now and then, until
        cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._regularly(self._refresh_seconds, self._take_revoked))
            group.create_task(self._regularly(FULL_REFRESH_SECONDS, self.refresh))

    async def _regularly(self, seconds: float, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await look()
            except StoreUnavailable as error:
                self._health.report_failure(error)
            except Exception:  # noqa: BLE001  what is known stays good; the next round may be fine
                _log.exception("keys_not_refreshed")

    async def _take_revoked(self) -> None:
        for record in await self._store.revoked_since(self._seen - _REVOCATION_OVERLAP):
            self._seen = max(self._seen, record.revoked_at or 0)
            self._take(record)

    async def _look_up(self, key_id: str) -> None:
        try:
            record = await self._store.get(key_id)
        except StoreUnavailable as error:
            self._health.report_failure(error)
            raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1) from error
        if record is not None:
            self._take(record)

    def _take(self, record: ApiKeyRecord) -> None:
        if record.revoked_at is not None:
            self._forget(record.key_id)
        elif record.key_id not in self._principals and record.key_id not in self._revoked:
            # A slow answer may tell of a key that has been revoked since: once is for ever.
            rate = self._rate_limit if record.rate_limit is None else record.rate_limit
            self._principals[record.key_id] = Principal(
                key_id=record.key_id,
                user_id=record.user_id,
                user_name=record.user_name,
                scopes=record.scopes,
                secret=credentials.derive_secret(self._server_key, record.key_id),
                rate=rate,
                burst_seconds=self._rate_burst,
            )

    def _forget(self, key_id: str) -> None:
        self._revoked.add(key_id)
        principal = self._principals.pop(key_id, None)
        if principal is not None:
            self._revoke(principal)

    def _revoke(self, principal: Principal) -> None:
        principal.revoked = True
        _log.info("key_revoked", key=principal.key_id, user=principal.user_name)
        for callback in list(self._callbacks):
            callback(principal)

    def _signed(
        self, key_id: str, headers: Mapping[str, str], method: str, target: str, body: bytes
    ) -> Principal:
        stamp, signature = headers.get("x-gomatch-timestamp"), headers.get("x-gomatch-signature")
        if stamp is None or signature is None:
            raise Problem(
                codes.UNAUTHENTICATED,
                "A signed request has X-Gomatch-Key, X-Gomatch-Timestamp and X-Gomatch-Signature.",
            )
        if not (stamp.isascii() and stamp.isdecimal() and len(stamp) <= 15):
            raise Problem(codes.TIMESTAMP_EXPIRED, "X-Gomatch-Timestamp is in milliseconds.")
        secret = credentials.derive_secret(self._server_key, key_id)
        if not credentials.verify(
            secret, signature, timestamp_ms=int(stamp), method=method, target=target, body=body
        ):
            raise Problem(codes.SIGNATURE_INVALID)
        if abs(int(stamp) - time.time_ns() // 1_000_000) > credentials.SIGNATURE_WINDOW_MS:
            raise Problem(codes.TIMESTAMP_EXPIRED)
        return self.authenticate_token(credentials.token(key_id, secret))
