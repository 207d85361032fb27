"""Vocabulary of the engine: enumerations, reason codes and the market configuration.

Prices are integer ticks, quantities integer lots, times integer microseconds since the Unix
epoch (UTC), rates integer billionths. Decimal strings exist only at the API.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec

RULES_VERSION = 1
"""Version of the matching rules that this build implements (see docs/matching-rules.md)."""

RATE_SCALE = 1_000_000_000
"""Fees and price bands are integers in billionths: 1 % is 10_000_000."""

NOTIONAL_LIMIT = 1 << 62
"""Largest price * quantity that one order may reach, so that every sum fits 64 bits."""


class Side(IntEnum):
    BUY = 1
    SELL = 2


class OrderType(IntEnum):
    LIMIT = 1
    MARKET = 2
    STOP = 3
    STOP_LIMIT = 4


class TimeInForce(IntEnum):
    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4


class SelfTrade(IntEnum):
    """Self-trade prevention. DEFAULT, on an order, means the market's own mode."""

    DEFAULT = 0
    NONE = 1
    CANCEL_NEWEST = 2
    CANCEL_OLDEST = 3
    CANCEL_BOTH = 4
    DECREMENT = 5


class TradingState(IntEnum):
    RUNNING = 1
    AUCTION = 2
    CANCEL_ONLY = 3
    HALTED = 4
    CLOSED = 5


class BandMode(IntEnum):
    NONE = 0
    REFUSE = 1
    HALT = 2


class Reason(StrEnum):
    """Stable codes in Rejected, Cancelled and StateChanged events; docs/errors.md lists them."""

    # Rejected
    INVALID_QUANTITY = "invalid_quantity"
    QUANTITY_TOO_SMALL = "quantity_too_small"
    QUANTITY_TOO_LARGE = "quantity_too_large"
    INVALID_PRICE = "invalid_price"
    PRICE_TOO_HIGH = "price_too_high"
    INVALID_STOP_PRICE = "invalid_stop_price"
    INVALID_DISPLAY = "invalid_display"
    INVALID_EXPIRY = "invalid_expiry"
    INVALID_ORDER = "invalid_order"
    NOTIONAL_TOO_SMALL = "notional_too_small"
    EXPIRED = "expired"
    NO_LIQUIDITY = "no_liquidity"
    WOULD_CROSS = "would_cross"
    UNFILLABLE = "unfillable"
    PRICE_BAND = "price_band"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    UNKNOWN_ORDER = "unknown_order"
    QUANTITY_FILLED = "quantity_filled"
    NOTHING_TO_AMEND = "nothing_to_amend"
    MARKET_CANCEL_ONLY = "market_cancel_only"
    MARKET_HALTED = "market_halted"
    MARKET_CLOSED = "market_closed"
    NOT_IN_AUCTION = "not_in_auction"
    BOOK_CROSSED = "book_crossed"
    INVALID_CONFIGURATION = "invalid_configuration"
    INTERNAL_ERROR = "internal_error"
    # Cancelled
    USER = "user"
    ADMIN = "admin"
    DISCONNECT = "disconnect"
    IMMEDIATE_OR_CANCEL = "immediate_or_cancel"
    MARKET_REST = "market_rest"
    SELF_TRADE = "self_trade"
    # StateChanged
    REQUESTED = "requested"
    MANUAL = "manual"
    ENGINE_ERROR = "engine_error"


class MarketConfig(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """All that the engine knows of a market's definition; it arrives by a Configure command.

    ``max_price`` times ``max_quantity`` never exceeds NOTIONAL_LIMIT. Zero means "none" for
    ``min_notional``, ``reference_price``, ``band`` and ``max_open_orders``.
    """

    min_quantity: int = 1
    max_quantity: int = 1_000_000_000
    max_price: int = 4_000_000_000
    min_notional: int = 0
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST
    band_mode: BandMode = BandMode.NONE
    band: int = 0
    """Allowed distance from the reference, in billionths of it."""
    reference_price: int = 0
    maker_fee: int = 0
    """In billionths of the traded value, in the quote asset; negative is a rebate."""
    taker_fee: int = 0
    max_open_orders: int = 0
    """Open orders that one user may have in this market."""
    rules_version: int = RULES_VERSION
