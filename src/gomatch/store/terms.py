"""Terms of leadership among the operators of one installation: the older ones write no more."""

from __future__ import annotations

from typing import Any

from gomatch.errors import Fenced

# Who only writes locks the row for share; a later term waits for that, and the other way round.
_SHARE = "SELECT term FROM operator_terms WHERE installation = $1 AND term >= $2 FOR SHARE"
_RAISE = """
INSERT INTO operator_terms AS t (installation, term) VALUES ($1, $2)
    ON CONFLICT (installation) DO UPDATE SET term = greatest(t.term, excluded.term)
RETURNING term
"""
_READ = "SELECT term FROM operator_terms WHERE installation = $1"


async def hold_term(connection: Any, installation: str, term: int) -> None:
    """Until the end of the caller's transaction no later term begins. ``term`` is recorded when
    it is not yet. Raises Fenced when a later one is."""
    recorded = await connection.fetchval(_SHARE, installation, term)
    if recorded is None:
        recorded = await connection.fetchval(_RAISE, installation, term)
    _check(installation, term, recorded)


async def check_term(connection: Any, installation: str, term: int) -> None:
    """For who writes nothing. Raises Fenced when a later term is recorded."""
    _check(installation, term, await recorded_term(connection, installation))


async def recorded_term(connection: Any, installation: str) -> int:
    """The newest term that began; 0 when none did."""
    return await connection.fetchval(_READ, installation) or 0


def _check(installation: str, term: int, recorded: int) -> None:
    if recorded > term:
        raise Fenced(
            f"term {recorded} of installation {installation} began after term {term}: another "
            "operator leads, stop this one"
        )
