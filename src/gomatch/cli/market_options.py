"""A market's definition from options of the command line."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from gomatch.errors import ConfigurationError
from gomatch.messages.market import BandModeName, MarketDefinition, SelfTradeName

MinQuantity = Annotated[
    str | None, typer.Option(help="Smallest order, in the base asset.", show_default=False)
]
MaxQuantity = Annotated[
    str | None, typer.Option(help="Largest order, in the base asset.", show_default=False)
]
MinNotional = Annotated[
    str | None,
    typer.Option(help="Smallest price times quantity, in the quote asset.", show_default=False),
]
SelfTradePrevention = Annotated[
    SelfTradeName | None, typer.Option(help="For orders that do not name their own.")
]
PriceBandMode = Annotated[
    BandModeName | None, typer.Option(help="What happens outside the price band.")
]
PriceBand = Annotated[
    str | None, typer.Option(help="Distance from the reference as a fraction: 0.1 is 10 %.")
]
ReferencePrice = Annotated[
    str | None, typer.Option(help="Reference of the band before the first trade.")
]
MakerFee = Annotated[
    str | None, typer.Option(help="Fraction of the traded value; negative is a rebate.")
]
TakerFee = Annotated[str | None, typer.Option(help="Fraction of the traded value.")]
MaxOpenOrders = Annotated[
    int | None, typer.Option(min=0, help="Open orders of one user; 0 is no limit.")
]

_CLEARED_BY = "none"
_OPTIONAL = ("min_quantity", "max_quantity", "min_notional", "reference_price")


def split_symbol(symbol: str) -> tuple[str, str]:
    """(base, quote). Raises ConfigurationError."""
    base, dash, quote = symbol.partition("-")
    if not dash or not base or not quote:
        raise ConfigurationError(f"a market is written BASE-QUOTE, as BTC-USDT, not {symbol!r}")
    return base, quote


def changed(definition: MarketDefinition, options: dict[str, str | int | None]) -> MarketDefinition:
    """``definition`` with the options that were given (not None); "none" clears an optional
    limit. Raises ConfigurationError."""
    given = {
        name: None if name in _OPTIONAL and value == _CLEARED_BY else value
        for name, value in options.items()
        if value is not None
    }
    new = msgspec.convert(
        {**msgspec.to_builtins(definition), **given}, MarketDefinition, strict=True
    )
    new.config()
    return new
