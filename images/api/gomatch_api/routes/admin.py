"""An administrator's say over a market's trading state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from gomatch_api.asgi import HotEndpoint, HotRequest
from gomatch_api.auth import ADMIN
from gomatch_api.requests import parse_state
from gomatch_api.routes.orders_hot import authorised

if TYPE_CHECKING:
    from gomatch_api.services import Services


def admin_routes(services: Services) -> list[Route]:
    """POST /v1/markets/{market}/state."""

    async def set_state(request: HotRequest) -> tuple[int, object]:
        body, principal = await authorised(request, ADMIN)
        symbol: str = request.scope["path_params"]["market"]
        services.orders.market(symbol)
        wanted = parse_state(body)
        return 202, await services.orders.set_state(
            principal, symbol, wanted.state, request_id=wanted.request_id
        )

    endpoint = HotEndpoint(
        set_state,
        route="set_state",
        keys=services.keys,
        metrics=services.metrics,
        limit=services.settings.request_limit_bytes,
    )
    path = "/v1/markets/{market}/state"
    return [Route(path, endpoint, methods=["POST"], name="set_state")]
