"""Checks what must always hold, from what is stored: see docs/recovery.md and `gomatch audit`."""

from __future__ import annotations

from collections.abc import Collection

from gomatch.audit.market import MarketAudit
from gomatch.audit.mirror import read_mirror
from gomatch.audit.report import AuditReport, Finding, MarketFigures
from gomatch.audit.snapshot import database_snapshot
from gomatch.credentials import Endpoint
from gomatch.errors import UnknownMarket

__all__ = ["AuditReport", "Finding", "MarketFigures", "audit"]


async def audit(
    postgres_url: str, redis: str | Endpoint | None, markets: Collection[str] | None = None
) -> AuditReport:
    """Audit ``markets`` (None: all) on a running or stopped system; writes nothing.

    The mirrors are read first and the database after them, so that every mirror stands at a
    sequence that the database has. Raises StoreUnavailable, and UnknownMarket.
    """
    report = AuditReport()
    if redis is None:
        report.outside.append("the Redis mirrors")
    async with database_snapshot(postgres_url) as first_look:
        stored = {market.symbol: market for market in await first_look.markets()}
    if unknown := set(markets or ()) - stored.keys():
        raise UnknownMarket(f"there is no market {', '.join(sorted(unknown))}")
    wanted = [symbol for symbol in stored if markets is None or symbol in markets]
    mirrors = {}
    for symbol in wanted:
        report.markets[symbol] = MarketFigures()
        if redis is not None:

            def differs(kind: str, detail: str, symbol: str = symbol) -> None:
                report.add(symbol, kind, detail)

            mirrors[symbol] = await read_mirror(
                redis,
                symbol,
                differs,
                report.unchecked.append,
                expected=stored[symbol].sequence != 0,
            )
    async with database_snapshot(postgres_url) as snapshot:
        for market in await snapshot.markets():
            if market.symbol in wanted:
                await MarketAudit(snapshot, market, mirrors.get(market.symbol), report).run()
    return report
