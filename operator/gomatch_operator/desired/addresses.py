"""Addresses of servers as matchers use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qs, quote, urlsplit

DEFAULT_PORTS = {
    "postgresql": 5432,
    "postgres": 5432,
    "amqp": 5672,
    "amqps": 5671,
    "redis": 6379,
    "rediss": 6379,
}


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """``url`` with those of ``parameters`` that it does not name itself."""
    base, _, query = url.partition("?")
    given = parse_qs(query, keep_blank_values=True)
    added = [
        f"{name}={quote(text, safe='/')}" for name, text in parameters.items() if name not in given
    ]
    together = "&".join([query, *added] if query else added)
    return f"{base}?{together}" if together else base


def ports(url: str) -> tuple[int, ...]:
    """Of every host in ``url``, which may name several, separated by commas."""
    scheme, _, rest = url.partition("://")
    authority = rest.partition("?")[0].partition("/")[0].rpartition("@")[2]
    default = DEFAULT_PORTS[scheme]
    return _unique([urlsplit(f"//{host}").port or default for host in authority.split(",")])


def target_ports(targets: str) -> tuple[int, ...]:
    """Of ``host:port``, separated by commas."""
    found = [urlsplit(f"//{target.strip()}").port for target in targets.split(",")]
    return _unique([port for port in found if port])


def _unique(numbers: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(set(numbers)))
