"""Reading one's orders and fills, and cancelling all of them."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Query, Response

from gomatch_api import codes
from gomatch_api.auth import READ, TRADE, Principal
from gomatch_api.order_queries import OrderFilter, decode_cursor, encode_cursor
from gomatch_api.rendering import fills_of
from gomatch_api.requests import CLIENT_ID_PATTERN
from gomatch_api.responses import Fill, Fills, StatusName
from gomatch_api.routes.common import answer, caller, measured_route, need_database
from gomatch_api.routes.documents import (
    ACCEPTANCE,
    AUTHENTICATION,
    SECURITY,
    documented,
)
from gomatch_api.transform import client_id

if TYPE_CHECKING:
    from gomatch_api.services import Services

PAGE = 100
PAGE_LIMIT = 500

_QUERY_PROBLEMS = (*AUTHENTICATION, codes.UNKNOWN_MARKET, codes.INVALID_VALUE)

MarketQuery = Annotated[
    str | None, Query(description="Only this market.", examples=["BTC-USDT"], max_length=40)
]
LimitQuery = Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="Most entries of a page.")]
CursorQuery = Annotated[
    str | None,
    Query(max_length=64, description="`next_cursor` of the page before; opaque."),
]


def order_routes(services: "Services") -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["orders"], route_class=measured_route(services))
    # Types, and named as such.
    Reader = Annotated[Principal, Depends(caller(services, READ, costs=1))]  # noqa: N806
    Trader = Annotated[Principal, Depends(caller(services, TRADE))]  # noqa: N806
    security = {"security": SECURITY}

    @router.get(
        "/orders",
        summary="One's orders, newest first",
        responses=documented(
            "Orders", *_QUERY_PROBLEMS, codes.INVALID_CURSOR, codes.INVALID_CLIENT_ID
        ),
        openapi_extra=security,
    )
    async def list_orders(
        principal: Reader,
        market: MarketQuery = None,
        status: Annotated[
            list[StatusName] | None, Query(description="Only these; may be repeated.")
        ] = None,
        client_order_id: Annotated[
            str | None, Query(description="The one order with this id of one's own.")
        ] = None,
        limit: LimitQuery = PAGE,
        cursor: CursorQuery = None,
    ) -> Response:
        """An order that is accepted and not yet applied reads as `pending`; up to `limit` of
        those come before the first page's others."""
        need_database(services)
        wanted = OrderFilter(
            market=services.orders.market(market) if market is not None else None,
            statuses=status,
            limit=limit,
            cursor=cursor,
        )
        if client_order_id is not None:
            own_id = client_id(client_order_id, "client_order_id")
            return answer(await services.queries.by_client_id(principal.user_id, own_id, wanted))
        return answer(await services.queries.list(principal.user_id, wanted))

    @router.get(
        "/orders/{order_id}",
        summary="One order, by its id or as `client:<client_order_id>`",
        responses=documented(
            "Order", *AUTHENTICATION, codes.UNKNOWN_ORDER, codes.INVALID_CLIENT_ID
        ),
        openapi_extra=security,
    )
    async def get_order(principal: Reader, order_id: str) -> Response:
        need_database(services)
        return answer(await services.queries.get(principal.user_id, order_id))

    @router.delete(
        "/orders",
        summary="Cancel all of one's open orders in a market",
        status_code=202,
        responses={
            **documented(
                "CancelAllAcknowledgement",
                *_QUERY_PROBLEMS,
                codes.MISSING_FIELD,
                codes.INVALID_CLIENT_ID,
                codes.REQUEST_ID_REUSED,
                *ACCEPTANCE,
                status=202,
                description="Durable; with `?wait=result` it has been applied too.",
            )
        },
        openapi_extra=security,
    )
    async def cancel_all_orders(
        principal: Trader,
        market: Annotated[str, Query(examples=["BTC-USDT"], max_length=40)],
        wait: Annotated[
            str | None, Query(pattern="^result$", description="Answer after matching.")
        ] = None,
        request_id: Annotated[
            str | None,
            Query(
                description="The same request again under this id gets the first answer.",
                json_schema_extra={"pattern": CLIENT_ID_PATTERN},
            ),
        ] = None,
    ) -> Response:
        """Waiting stops are cancelled too."""
        done = await services.orders.cancel_all(
            principal, market, request_id=request_id, wait=wait is not None
        )
        return answer(done, 202)

    @router.get(
        "/trades",
        tags=["trades"],
        summary="One's own fills, newest first",
        responses=documented("Fills", *_QUERY_PROBLEMS, codes.INVALID_CURSOR),
        openapi_extra=security,
    )
    async def list_fills(
        principal: Reader,
        market: MarketQuery = None,
        limit: LimitQuery = PAGE,
        cursor: CursorQuery = None,
    ) -> Response:
        """A trade with oneself, where self-trade prevention is off, shows as two fills."""
        need_database(services)
        known = services.orders.market(market) if market is not None else None
        rows = await services.trades.of_user(
            principal.user_id,
            market_id=known.market_id if known else None,
            before=decode_cursor(cursor) if cursor else None,
            limit=limit,
        )
        fills: list[Fill] = []
        for row in rows:
            found = services.markets.by_id(row.market_id)
            if found is not None:
                fills += fills_of(row, principal.user_id, found)
        last = rows[-1] if len(rows) == limit else None
        return answer(
            Fills(
                trades=fills,
                next_cursor=encode_cursor((last.market_id, last.sequence)) if last else None,
            )
        )

    return router
