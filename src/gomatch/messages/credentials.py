"""API credentials: a key's secret is an HMAC of its id under the server key, so nothing that could
be stolen is stored, and requests can be signed with it.

Bearer form: ``Authorization: Bearer <key_id>.<secret>``. Signed form: ``X-Gomatch-Key``,
``X-Gomatch-Timestamp`` (milliseconds since the epoch) and ``X-Gomatch-Signature`` = hex
HMAC-SHA256(secret, timestamp + method + target + body), where target is the path with its query.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from gomatch.errors import ConfigurationError

SIGNATURE_WINDOW_MS = 5_000
"""How far a signed request's timestamp may be from the server's clock, in milliseconds."""

MINIMUM_KEY_BYTES = 32


def parse_server_key(text: str) -> bytes:
    """The server key from its hex form. Raises ConfigurationError when it cannot be used."""
    try:
        key = bytes.fromhex(text)
    except ValueError as error:
        raise ConfigurationError("GOMATCH_SERVER_KEY must be hexadecimal") from error
    if len(key) < MINIMUM_KEY_BYTES:
        raise ConfigurationError(
            f"GOMATCH_SERVER_KEY must have at least {MINIMUM_KEY_BYTES} bytes, "
            "for example from `openssl rand -hex 32`"
        )
    return key


def derive_secret(server_key: bytes, key_id: str) -> str:
    """The secret of ``key_id``: base64url without padding."""
    digest = hmac.digest(server_key, key_id.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def callback_proof(secret: str) -> str:
    """What a matcher sends as `authorization` to show that it knows the callback token."""
    return f"Bearer {hashlib.sha256(secret.encode()).hexdigest()}"


def token(key_id: str, secret: str) -> str:
    """What goes behind ``Bearer``."""
    return f"{key_id}.{secret}"


def split_token(text: str) -> tuple[str, str] | None:
    """(key_id, secret), or None when ``text`` cannot be a token."""
    key_id, dot, secret = text.partition(".")
    if not (key_id and dot and secret) or not text.isascii():
        return None
    return key_id, secret


def sign(secret: str, *, timestamp_ms: int, method: str, target: str, body: bytes) -> str:
    """The signature of one request, lower-case hex."""
    message = f"{timestamp_ms}{method.upper()}{target}".encode() + body
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def verify(
    secret: str, signature: str, *, timestamp_ms: int, method: str, target: str, body: bytes
) -> bool:
    """Compares in constant time. The caller checks the timestamp against its clock."""
    expected = sign(secret, timestamp_ms=timestamp_ms, method=method, target=target, body=body)
    return hmac.compare_digest(expected.encode(), signature.encode())
