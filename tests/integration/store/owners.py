"""Owners of symbols, and what tells whether anything was written."""

from __future__ import annotations

import asyncpg

from gomatch.store import ClaimOwner

TERM = 7
INSTALLATION = "prod"
OWNER = ClaimOwner(installation=INSTALLATION, namespace="trading", name="btc-usdt", uid="u1")
RECREATED = ClaimOwner(installation=INSTALLATION, namespace="trading", name="btc-usdt", uid="u2")
NEIGHBOUR = ClaimOwner(installation=INSTALLATION, namespace="trading", name="other", uid="u3")
ELSEWHERE = ClaimOwner(installation="staging", namespace="trading", name="btc-usdt", uid="u1")

_TABLES = (
    "claims", "commands", "heads", "intake", "leases", "leftovers", "markets", "operator_terms",
)  # fmt: skip


async def versions(pool: asyncpg.Pool) -> dict[str, list[tuple[object, ...]]]:
    """Every row's place and the transactions that wrote or locked it."""
    return {
        table: [
            tuple(row)
            for row in await pool.fetch(
                f"SELECT ctid::text, xmin::text, xmax::text FROM {table} ORDER BY 1"
            )
        ]
        for table in _TABLES
    }
