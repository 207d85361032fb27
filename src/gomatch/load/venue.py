"""What the generator asks the venue before it begins: which markets there are."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gomatch.errors import ConnectionFailed, LoadError
from gomatch.load.flow import FlowMarket
from gomatch.load.http import HttpConnection
from gomatch.load.wire import MarketAnswer, markets_decoder
from gomatch.messages.decimals import DecimalError, parse_decimal

_DEFAULT_MID = 50_000
_OK = 200


async def load_markets(
    url: str, symbols: Sequence[str] = (), *, timeout: float = 10.0
) -> list[FlowMarket]:
    """The markets named, or all that are running. The flow begins at the last price, or
    at 50,000 ticks where there was no trade.

    Raises LoadError when the venue has none of them, ConnectionFailed when it does not answer.
    """
    connection = HttpConnection(url, timeout=timeout)
    try:
        answer = await connection.request(b"GET", b"/v1/markets")
    except ConnectionFailed as error:
        raise ConnectionFailed(
            f"{url} cannot be reached: {error}; does an API listen there? Give another with --url"
        ) from error
    finally:
        await connection.close()
    if answer.status != _OK:
        raise LoadError(f"{url} answered GET /v1/markets with {answer.status}")
    try:
        known = {entry.market: entry for entry in markets_decoder.decode(answer.body).markets}
    except msgspec.MsgspecError as error:
        raise LoadError(f"{url} answered GET /v1/markets with something else: {error}") from error
    missing = [symbol for symbol in symbols if symbol not in known]
    if missing:
        raise LoadError(f"no such market: {', '.join(missing)}")
    wanted = symbols or [symbol for symbol, entry in known.items() if entry.state == "running"]
    if not wanted:
        raise LoadError(f"{url} has no running market: see `gomatch markets list`")
    return [_flow_market(known[symbol]) for symbol in wanted]


def _flow_market(entry: MarketAnswer) -> FlowMarket:
    try:
        tick = parse_decimal(entry.tick_size)
        lot = parse_decimal(entry.lot_size)
        price = entry.last_price
        mid = parse_decimal(price) // tick if price else _DEFAULT_MID
    except DecimalError as error:
        raise LoadError(f"market {entry.market}: {error}") from error
    return FlowMarket(symbol=entry.market, tick=tick, lot=lot, mid=mid)
