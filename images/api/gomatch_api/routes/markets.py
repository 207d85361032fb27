"""Markets and their public data, which need no key. All but older trades outlives a database
that is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query, Response

from gomatch_api import codes
from gomatch_api.feeds import MarketView
from gomatch_api.markets import Market
from gomatch_api.problems import Problem
from gomatch_api.rendering import depth_of, market_of, public_trade, ticker_of, trade_of
from gomatch_api.responses import Markets, Trades
from gomatch_api.routes.common import answer, measured_route, need_database
from gomatch_api.routes.documents import documented

if TYPE_CHECKING:
    from gomatch_api.services import Services

LEVELS = 100
LEVELS_LIMIT = 5_000
PAGE = 100
PAGE_LIMIT = 1_000

Symbol = Annotated[str, Path(description="The market's symbol.", examples=["BTC-USDT"])]


def market_routes(services: Services) -> APIRouter:
    router = APIRouter(prefix="/v1/markets", tags=["markets"], route_class=measured_route(services))

    def find(symbol: str) -> tuple[Market, MarketView]:
        market = services.orders.market(symbol)
        return market, services.feeds.view(symbol)

    @router.get("", summary="All markets", responses=documented("Markets"))
    async def list_markets() -> Response:
        markets = services.markets.all()
        return answer(Markets(markets=[market_of(*find(market.symbol)) for market in markets]))

    @router.get(
        "/{market}",
        summary="A market's definition and where it stands",
        responses=documented("MarketInfo", codes.UNKNOWN_MARKET),
    )
    async def get_market(market: Symbol) -> Response:
        return answer(market_of(*find(market)))

    @router.get(
        "/{market}/depth",
        summary="The best levels of the displayed book",
        responses=documented(
            "Depth", codes.UNKNOWN_MARKET, codes.INVALID_VALUE, codes.MARKET_DATA_UNAVAILABLE
        ),
    )
    async def get_depth(
        market: Symbol,
        limit: Annotated[
            int, Query(ge=1, le=LEVELS_LIMIT, description="Most levels of a side.")
        ] = LEVELS,
    ) -> Response:
        """Icebergs show their slice only, stops do not show."""
        found, view = find(market)
        snapshot = view.depth(limit)
        if snapshot is None:
            raise Problem(codes.MARKET_DATA_UNAVAILABLE, retry_after=1)
        return answer(depth_of(snapshot, found, view))

    @router.get(
        "/{market}/ticker",
        summary="Best prices, last trade and trading state",
        responses=documented("Ticker", codes.UNKNOWN_MARKET, codes.MARKET_DATA_UNAVAILABLE),
    )
    async def get_ticker(market: Symbol) -> Response:
        found, view = find(market)
        ticker = view.ticker()
        if ticker is None:
            raise Problem(codes.MARKET_DATA_UNAVAILABLE, retry_after=1)
        return answer(ticker_of(ticker, found))

    @router.get(
        "/{market}/trades",
        summary="The latest trades, newest first",
        responses=documented(
            "Trades", codes.UNKNOWN_MARKET, codes.INVALID_VALUE, codes.DATABASE_UNAVAILABLE
        ),
    )
    async def list_trades(
        market: Symbol,
        limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = PAGE,
        before: Annotated[
            int | None,
            Query(ge=1, lt=1 << 63, description="`next_before` of the page before."),
        ] = None,
    ) -> Response:
        """While the database is away, the trades that this replica has seen are served."""
        found, view = find(market)
        recent = view.recent_trades(limit) if before is None else []
        if len(recent) == limit or (recent and not services.health.available):
            trades = [public_trade(trade, found) for trade in recent]
        else:
            need_database(services)
            rows = await services.trades.of_market(found.market_id, limit=limit, before=before)
            trades = [trade_of(row, found) for row in rows]
        next_before = trades[-1].id if len(trades) == limit else None
        return answer(Trades(market=market, trades=trades, next_before=next_before))

    return router
