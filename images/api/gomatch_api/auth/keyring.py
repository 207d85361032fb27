"""All API keys, held in memory and refreshed so that a revoked one stops within two seconds."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping

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
"""How often all keys are read; between that only those revoked lately."""

_REVOCATION_OVERLAP = 10_000_000
"""Microseconds by which each look for revoked keys reaches back over the one before."""

RevokeCallback = Callable[[Principal], None]


class UnknownKey(Problem):
    """The token is genuine, but its key is not known here yet: it may be new."""

    def __init__(self) -> None:
        super().__init__(codes.UNAUTHENTICATED, "There is no such API key.")


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
        self._last_full = -FULL_REFRESH_SECONDS
        self._seen = 0
        self._refreshing = asyncio.Lock()
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
        raise UnknownKey

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
        except UnknownKey:
            await self._look_again()
        return self.authenticate(headers, method=method, target=target, body=body)

    async def identify_token(self, token: str) -> Principal:
        """As authenticate_token, but a key that was made a moment ago is looked up."""
        try:
            return self.authenticate_token(token)
        except UnknownKey:
            await self._look_again()
        return self.authenticate_token(token)

    async def refresh(self) -> None:
        """Read all keys. Raises StoreUnavailable."""
        async with self._refreshing:
            now = time.monotonic()
            for record in await self._store.list():
                self._take(record)
            self._last_full = now
            self.loaded = True

    async def run(self) -> None:
        """Look for revoked keys every ``refresh_seconds`` until cancelled."""
        while True:
            await asyncio.sleep(self._refresh_seconds)
            try:
                if time.monotonic() - self._last_full >= FULL_REFRESH_SECONDS:
                    await self.refresh()
                else:
                    for record in await self._store.revoked_since(self._seen - _REVOCATION_OVERLAP):
                        self._take(record)
            except StoreUnavailable as error:
                self._health.report_failure(error)
            except Exception:  # noqa: BLE001  what is known stays good; the next round may be fine
                _log.exception("keys not refreshed")

    async def _look_again(self) -> None:
        try:
            await self.refresh()
        except StoreUnavailable as error:
            self._health.report_failure(error)
            raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1) from error

    def _take(self, record: ApiKeyRecord) -> None:
        # PostgreSQL's own times, so that this host's clock does not matter.
        self._seen = max(self._seen, record.created_at, record.revoked_at or 0)
        principal = self._principals.get(record.key_id)
        if record.revoked_at is not None:
            self._revoked.add(record.key_id)
            if principal is not None:
                del self._principals[record.key_id]
                self._revoke(principal)
        elif principal is None:
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

    def _revoke(self, principal: Principal) -> None:
        principal.revoked = True
        _log.info("key revoked", key=principal.key_id, user=principal.user_name)
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
