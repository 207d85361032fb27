"""The screen of `gomatch watch`: a pure function of what is known of the market."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gomatch.cli.watching.state import Level, MarketState

_BAR = 12
_STATE_STYLES = {"running": "green", "auction": "yellow"}


def screen(state: MarketState, status: str, *, levels: int) -> RenderableType:
    """Head line, ``levels`` of each side of the book with the best in the middle, last trades."""
    return Group(
        _head(state, status),
        Text(),
        Columns([_book(state, levels), _trades(state, 2 * levels + 1)], padding=(0, 6)),
    )


def _head(state: MarketState, status: str) -> Text:
    ticker = state.ticker
    head = Text()
    head.append(state.market, "bold")
    name = ticker.get("state")
    if name:
        head.append(f"  {name}", _STATE_STYLES.get(name, "red"))
    if ticker.get("last"):
        head.append(f"  last {ticker['last']}")
    if ticker.get("indicative_price"):
        head.append(
            f"  indicative {ticker['indicative_volume']} at {ticker['indicative_price']}", "yellow"
        )
    head.append(f"  sequence {state.sequence}", "dim")
    head.append(f"  {status}", "dim" if status == "live" else "bold red")
    return head


def _book(state: MarketState, levels: int) -> Table:
    bids, asks = state.best(levels)
    most = max((quantity for _, quantity in (*bids, *asks)), default=Decimal(1))
    book = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("quantity", "price"):
        book.add_column(name, justify="right", no_wrap=True)
    book.add_column("", no_wrap=True, min_width=_BAR)
    for row in _padding(levels - len(asks)):
        book.add_row(*row)
    for price, quantity in reversed(asks):
        _add_level(book, price, quantity, most, "red")
    book.add_row("", Text(_spread(bids, asks), "dim"), "")
    for price, quantity in bids:
        _add_level(book, price, quantity, most, "green")
    for row in _padding(levels - len(bids)):
        book.add_row(*row)
    return book


def _add_level(book: Table, price: Decimal, quantity: Decimal, most: Decimal, style: str) -> None:
    bar = "█" * max(1, round(_BAR * quantity / most))
    book.add_row(f"{quantity:f}", Text(f"{price:f}", style), Text(bar, style))


def _padding(count: int) -> Sequence[tuple[str, str, str]]:
    return [("", "·", "")] * count


def _spread(bids: Sequence[Level], asks: Sequence[Level]) -> str:
    return f"spread {asks[0][0] - bids[0][0]:f}" if bids and asks else "spread –"


def _trades(state: MarketState, rows: int) -> Table:
    trades = Table(box=None, pad_edge=False, header_style="bold")
    trades.add_column("time", no_wrap=True)
    trades.add_column("quantity", justify="right", no_wrap=True)
    trades.add_column("price", justify="right", no_wrap=True)
    for trade in list(state.trades)[:rows]:
        style = "green" if trade.side == "buy" else "red"
        time = trade.time.partition("T")[2][:12]
        trades.add_row(time, trade.quantity, Text(trade.price, style))
    return trades
