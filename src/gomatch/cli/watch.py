"""`gomatch watch`: a market's book, trades and ticker, live in the terminal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from gomatch.cli.http import DEFAULT_URL, UrlOption
from gomatch.cli.output import CommandFailed, ExitCode, JsonOption, Output
from gomatch.cli.session import run
from gomatch.cli.watching.feed import MarketFeed
from gomatch.cli.watching.screen import screen
from gomatch.cli.watching.state import MarketState

_REFRESH_SECONDS = 0.2


def register(app: typer.Typer) -> None:
    @app.command("watch")
    def watch(
        market: Annotated[str, typer.Argument(help="For example BTC-USDT.")],
        levels: Annotated[int, typer.Option(min=1, max=500, help="Levels of each side.")] = 12,
        once: Annotated[bool, typer.Option("--once", help="Print one snapshot and end.")] = False,
        duration: Annotated[
            float | None,
            typer.Option(min=0.1, help="End after so many seconds; by default with Ctrl-C."),
        ] = None,
        timeout: Annotated[
            float, typer.Option(min=0.1, help="Seconds that --once waits for the snapshot.")
        ] = 10.0,
        url: UrlOption = DEFAULT_URL,
        json: JsonOption = False,
    ) -> None:
        """Show the live book, last trades and ticker of a market; it survives reconnects.

        With --json each message of the stream is printed on a line, or the snapshot with --once.
        """
        output = Output(json=json)

        async def command() -> None:
            feed = MarketFeed(url, market)
            try:
                if once:
                    await _once(feed, output, levels, timeout)
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(duration):
                        if json:
                            await feed.follow(_print_line)
                        else:
                            await _live(feed, levels)
            finally:
                await feed.close()

        run(output, command)


def _print_line(message: bytes) -> None:
    if message:
        typer.echo(message)


async def _once(feed: MarketFeed, output: Output, levels: int, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await feed.until_complete()
    except TimeoutError as error:
        raise CommandFailed(
            f"no market data of {feed.state.market} within {timeout:g} s: does its matcher run?",
            ExitCode.UNAVAILABLE,
            reason="market_data_unavailable",
        ) from error
    output.result(snapshot(feed.state, levels), screen(feed.state, feed.status, levels=levels))


async def _live(feed: MarketFeed, levels: int) -> None:
    """Redraws a few times a second, however many messages come. Where standard output is no
    terminal the last picture is printed at the end."""
    console = Console()
    changed = asyncio.Event()
    following = asyncio.create_task(feed.follow(lambda _: changed.set()))
    following.add_done_callback(lambda _: changed.set())
    try:
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while not following.done():
                await changed.wait()
                changed.clear()
                live.update(screen(feed.state, feed.status, levels=levels), refresh=True)
                await asyncio.sleep(_REFRESH_SECONDS)
    finally:
        following.cancel()
        await asyncio.wait((following,))
    # It only ends by failing.
    following.result()


def snapshot(state: MarketState, levels: int) -> dict[str, Any]:
    """What --once --json prints."""
    bids, asks = state.best(levels)
    ticker = {
        name: state.ticker.get(name)
        for name in ("time", "state", "last", "bid", "ask", "indicative_price", "indicative_volume")
    }
    return {
        "market": state.market,
        "sequence": state.sequence,
        **ticker,
        "bids": [(f"{price:f}", f"{quantity:f}") for price, quantity in bids],
        "asks": [(f"{price:f}", f"{quantity:f}") for price, quantity in asks],
        "trades": [
            {
                "id": trade.id,
                "price": trade.price,
                "quantity": trade.quantity,
                "side": trade.side,
                "time": trade.time,
            }
            for trade in state.trades
        ],
    }
