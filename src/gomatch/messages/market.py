"""A market's definition in decimal strings, and what follows from it for the engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import msgspec

from gomatch.engine import (
    NOTIONAL_LIMIT,
    BandMode,
    MarketConfig,
    SelfTrade,
    configuration_fault,
)
from gomatch.errors import ConfigurationError
from gomatch.messages.decimals import (
    SCALE,
    DecimalError,
    format_decimal,
    parse_decimal,
    parse_signed_decimal,
    parse_units,
)

SelfTradeName = Literal["none", "cancel_newest", "cancel_oldest", "cancel_both", "decrement"]
BandModeName = Literal["none", "refuse", "halt"]

_ASSET = re.compile(r"[A-Z0-9]{1,16}", re.ASCII)


class MarketDefinition(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """What a market is. Decimals are strings; base, quote, tick_size and lot_size are its
    identity and never change. ``price_band`` is a fraction of the reference ("0.1" is 10 %),
    fees are fractions of the traded value and may be negative."""

    base: str
    quote: str
    tick_size: str
    lot_size: str
    min_quantity: str | None = None
    max_quantity: str | None = None
    min_notional: str | None = None
    self_trade_prevention: SelfTradeName = "cancel_newest"
    price_band_mode: BandModeName = "none"
    price_band: str = "0"
    reference_price: str | None = None
    maker_fee: str = "0"
    taker_fee: str = "0"
    max_open_orders: int = 0

    @property
    def symbol(self) -> str:
        return f"{self.base}-{self.quote}"

    @cached_property
    def tick(self) -> int:
        """Tick size in 1e-9 of the quote asset."""
        return parse_decimal(self.tick_size)

    @cached_property
    def lot(self) -> int:
        """Lot size in 1e-9 of the base asset."""
        return parse_decimal(self.lot_size)

    def ticks(self, price: str) -> int:
        """Raises DecimalError, NotAMultiple."""
        return parse_units(price, self.tick)

    def lots(self, quantity: str) -> int:
        """Raises DecimalError, NotAMultiple."""
        return parse_units(quantity, self.lot)

    def price_text(self, ticks: int) -> str:
        return format_decimal(ticks * self.tick)

    def quantity_text(self, lots: int) -> str:
        return format_decimal(lots * self.lot)

    def config(self) -> MarketConfig:
        """The engine's view. Raises ConfigurationError naming the field that cannot work."""
        check_identity(self)
        max_quantity = self._parsed("max_quantity", self.lots, 10**9)
        min_quantity = self._parsed("min_quantity", self.lots, 1)
        notional = self._parsed("min_notional", parse_decimal)
        min_notional = -(-notional * SCALE // (self.tick * self.lot))
        reference = self._parsed("reference_price", self.ticks)
        band = self._parsed("price_band", parse_decimal)
        maker_fee = self._parsed("maker_fee", parse_signed_decimal)
        taker_fee = self._parsed("taker_fee", parse_signed_decimal)
        if not 1 <= min_quantity <= max_quantity:
            raise ConfigurationError(
                f"market {self.symbol}: min_quantity must be at least one lot and at most "
                "max_quantity"
            )
        if self.price_band_mode != "none" and band == 0:
            raise ConfigurationError(f"market {self.symbol}: price_band must be above 0")
        if self.max_open_orders < 0:
            raise ConfigurationError(f"market {self.symbol}: max_open_orders must not be negative")
        config = MarketConfig(
            min_quantity=min_quantity,
            max_quantity=max_quantity,
            max_price=min(NOTIONAL_LIMIT // max_quantity, 1 << 53),
            min_notional=min_notional,
            self_trade=SelfTrade[self.self_trade_prevention.upper()],
            band_mode=BandMode[self.price_band_mode.upper()],
            band=band,
            reference_price=reference,
            maker_fee=maker_fee,
            taker_fee=taker_fee,
            max_open_orders=self.max_open_orders,
        )
        if fault := configuration_fault(config):
            field = _ENGINE_FIELDS.get(fault, fault)
            raise ConfigurationError(f"market {self.symbol}: {field} is out of range")
        return config

    def _parsed(self, field: str, parse: Callable[[str], int], default: int = 0) -> int:
        """A field's value, or the default where it is None. Raises ConfigurationError."""
        text = getattr(self, field)
        if text is None:
            return default
        try:
            return parse(text)
        except DecimalError as error:
            raise ConfigurationError(f"market {self.symbol}: {field}: {error}") from error


_ENGINE_FIELDS = {"quantity limits": "max_quantity", "band": "price_band"}
"""What the engine calls them -> fields of a definition."""


def check_identity(definition: MarketDefinition) -> None:
    """Raises ConfigurationError when base, quote, tick size or lot size cannot be used."""
    for name, asset in (("base", definition.base), ("quote", definition.quote)):
        if not _ASSET.fullmatch(asset):
            raise ConfigurationError(f"{name} must be 1 to 16 of A-Z and 0-9")
    for name, text in (("tick_size", definition.tick_size), ("lot_size", definition.lot_size)):
        try:
            value = parse_decimal(text)
        except DecimalError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        if value == 0:
            raise ConfigurationError(f"{name} must be above 0")


def order_id(symbol: str, number: int) -> str:
    """The public id of an order: its market and its number."""
    return f"{symbol}-{number}"


def parse_order_id(text: str) -> tuple[str, int] | None:
    """(symbol, number), or None when ``text`` cannot be an order id."""
    symbol, dash, digits = text.rpartition("-")
    if not dash or not symbol or not digits.isascii() or not digits.isdecimal():
        return None
    if len(digits) > 18 or len(symbol) > 33 or digits.startswith("0"):
        return None
    return symbol, int(digits)
