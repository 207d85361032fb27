"""The markets as this replica knows them, refreshed from PostgreSQL every second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gomatch.engine import MarketConfig
from gomatch.errors import ConfigurationError, StoreUnavailable
from gomatch.messages.market import MarketDefinition
from gomatch.observability import logs
from gomatch.store.records import MarketHead, MarketRecord
from gomatch_api.database import DatabaseHealth
from gomatch_api.feeds.texts import MarketTexts
from gomatch_api.ports import MarketsStore

_log = logs.get(__name__)

REFRESH_SECONDS = 1.0
CACHED_TEXTS = 50_000
"""Decimal strings of one market whose value is remembered; valid ones only, so each is short."""


class UnitCache(dict[str, int]):
    """Decimal strings to whole units, remembered: an order flow uses the same ones all the time.

    Raises DecimalError and NotAMultiple as ``parse`` does.
    """

    __slots__ = ("_parse",)

    def __init__(self, parse: Callable[[str], int]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: str) -> int:
        units = self._parse(text)
        if len(self) >= CACHED_TEXTS:
            self.clear()
        self[text] = units
        return units


class Market:
    """One market: its definition, the engine's view of it, and its place in PostgreSQL."""

    __slots__ = ("config", "definition", "head", "lots", "market_id", "symbol", "texts", "ticks")

    def __init__(self, record: MarketRecord, head: MarketHead) -> None:
        self.market_id: int = record.market_id
        self.symbol: str = record.symbol
        self.definition: MarketDefinition = record.definition
        self.config: MarketConfig = record.definition.config()
        self.head = head
        self.ticks = UnitCache(record.definition.ticks)
        self.lots = UnitCache(record.definition.lots)
        self.texts = MarketTexts(record.definition)

    @property
    def tick(self) -> int:
        """Tick size in 1e-9 of the quote asset."""
        return self.definition.tick

    @property
    def lot(self) -> int:
        """Lot size in 1e-9 of the base asset."""
        return self.definition.lot


class MarketRegistry:
    """All markets by symbol and by id. ``refresh`` once before use; ``run`` keeps it current."""

    def __init__(self, store: MarketsStore, health: DatabaseHealth) -> None:
        self._store = store
        self._health = health
        self._by_symbol: dict[str, Market] = {}
        self._by_id: dict[int, Market] = {}
        self.loaded = False

    def get(self, symbol: str) -> Market | None:
        return self._by_symbol.get(symbol)

    def by_id(self, market_id: int) -> Market | None:
        return self._by_id.get(market_id)

    def all(self) -> list[Market]:
        """Sorted by symbol."""
        return [self._by_symbol[symbol] for symbol in sorted(self._by_symbol)]

    async def refresh(self) -> None:
        """Raises StoreUnavailable."""
        records = await self._store.list()
        heads = {head.market_id: head for head in await self._store.heads()}
        for record in records:
            head = heads.get(record.market_id)
            if head is not None:
                self._put(record, head)
        self.loaded = True

    async def run(self) -> None:
        """Refresh every second until cancelled; while PostgreSQL is away, keep what is known."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except StoreUnavailable as error:
                self._health.report_failure(error)
            except Exception:  # noqa: BLE001  what is known stays good; the next round may be fine
                _log.exception("markets_not_refreshed")

    def _put(self, record: MarketRecord, head: MarketHead) -> None:
        known = self._by_id.get(record.market_id)
        if known is not None and known.definition == record.definition:
            known.head = head
            return
        try:
            market = Market(record, head)
        except ConfigurationError as error:
            _log.error("market_not_usable", market=record.symbol, why=str(error))
            return
        self._by_symbol[market.symbol] = market
        self._by_id[market.market_id] = market
