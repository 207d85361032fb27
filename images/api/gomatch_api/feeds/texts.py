"""Integers of the engine to the decimal strings of the API, cached: the same few prices and
sizes come again and again."""

from __future__ import annotations

from gomatch.messages.decimals import format_decimal, format_product
from gomatch.messages.market import MarketDefinition

_CACHE_LIMIT = 50_000


class _Cache(dict[int, str]):
    """Multiples of a unit as text; forgets everything when it has grown too large."""

    __slots__ = ("_unit",)

    def __init__(self, unit: int) -> None:
        super().__init__()
        self._unit = unit

    def __missing__(self, count: int) -> str:
        if len(self) >= _CACHE_LIMIT:
            self.clear()
        text = self[count] = format_decimal(count * self._unit)
        return text


class MarketTexts:
    """``prices[ticks]`` and ``quantities[lots]`` are decimal strings."""

    __slots__ = ("_fees", "_lot", "_tick", "prefix", "prices", "quantities", "quote", "symbol")

    def __init__(self, definition: MarketDefinition) -> None:
        self.symbol = definition.symbol
        self.prefix = f"{definition.symbol}-"
        self.quote = definition.quote
        self._tick = definition.tick
        self._lot = definition.lot
        self._fees: dict[int, str] = {}
        self.prices = _Cache(definition.tick)
        self.quantities = _Cache(definition.lot)

    def optional_price(self, ticks: int) -> str | None:
        return self.prices[ticks] if ticks else None

    def fee(self, count: int) -> str:
        """A fee in the quote asset."""
        text = self._fees.get(count)
        if text is None:
            if len(self._fees) >= _CACHE_LIMIT:
                self._fees.clear()
            text = self._fees[count] = format_product(count, self._tick, self._lot)
        return text

    def levels(self, levels: list[tuple[int, int]]) -> list[tuple[str, str]]:
        prices, quantities = self.prices, self.quantities
        return [(prices[price], quantities[lots]) for price, lots in levels]
