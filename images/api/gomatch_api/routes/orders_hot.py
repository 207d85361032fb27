"""The hot routes of order entry: Starlette routes on msgspec, without middleware of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from starlette.routing import Route

from gomatch.messages.market import parse_order_id
from gomatch_api import codes
from gomatch_api.asgi import Handler, HotEndpoint, HotRequest
from gomatch_api.auth import TRADE, Principal
from gomatch_api.order_queries import CLIENT_PREFIX
from gomatch_api.order_service import OrderService
from gomatch_api.problems import Problem
from gomatch_api.requests import AmendItem, CancelItem, parse_amend, parse_batch, parse_new
from gomatch_api.responses import BatchResults, ItemResult
from gomatch_api.transform import client_id

if TYPE_CHECKING:
    from gomatch_api.services import Services


Raw = TypeVar("Raw")
Read = TypeVar("Read")


def hot_order_routes(services: Services) -> list[Route]:
    """POST /v1/orders and /v1/orders/batch, DELETE and PATCH /v1/orders/{order_id}."""
    entry = OrderEntry(services.orders)
    routes: list[tuple[str, str, str, Handler]] = [
        ("POST", "/v1/orders", "place_order", entry.place),
        ("POST", "/v1/orders/batch", "place_batch", entry.batch),
        ("DELETE", "/v1/orders/{order_id}", "cancel_order", entry.cancel),
        ("PATCH", "/v1/orders/{order_id}", "amend_order", entry.amend),
    ]
    return [
        Route(
            path,
            HotEndpoint(
                handler,
                route=name,
                keys=services.keys,
                metrics=services.metrics,
                limit=services.settings.request_limit_bytes,
            ),
            methods=[method],
            name=name,
        )
        for method, path, name, handler in routes
    ]


class OrderEntry:
    """The handlers."""

    def __init__(self, orders: OrderService) -> None:
        self._orders = orders

    async def place(self, request: HotRequest) -> tuple[int, object]:
        body, principal = await authorised(request)
        since = time.perf_counter()
        order = self._read(parse_new, body, principal)
        return _single(
            await self._orders.submit(principal, (order,), wait=request.waits(), since=since)
        )

    async def batch(self, request: HotRequest) -> tuple[int, object]:
        body, principal = await authorised(request)
        since = time.perf_counter()
        items = self._read(parse_batch, body, principal)
        results = await self._orders.submit(principal, items, wait=request.waits(), since=since)
        first = results[0]
        if first.status == 503 and all(result.status == 503 for result in results):
            return 503, first.problem
        return 200, BatchResults(results=results)

    async def cancel(self, request: HotRequest) -> tuple[int, object]:
        principal = await request.principal()
        principal.require(TRADE)
        target = self._read(_target, request, principal)
        item = CancelItem(**target, request_id=request.parameter("request_id"))
        return _single(await self._orders.submit(principal, (item,), wait=request.waits()))

    async def amend(self, request: HotRequest) -> tuple[int, object]:
        body, principal = await authorised(request)
        amend = self._read(parse_amend, body, principal)
        item = AmendItem(
            **self._read(_target, request, principal),
            quantity=amend.quantity,
            price=amend.price,
            display_quantity=amend.display_quantity,
            stop_price=amend.stop_price,
            expires_at=amend.expires_at,
            request_id=amend.request_id,
        )
        return _single(await self._orders.submit(principal, (item,), wait=request.waits()))

    def _read(self, read: Callable[[Raw], Read], raw: Raw, principal: Principal) -> Read:
        """What cannot be read is a refused command too. Raises Problem."""
        try:
            return read(raw)
        except Problem as problem:
            self._orders.refusals.whole(problem, user=principal.user_id)
            raise


async def authorised(request: HotRequest, scope: str = TRADE) -> tuple[bytes, Principal]:
    """The body and the caller; a bearer is checked before the body is read."""
    if b"x-gomatch-signature" in request.headers:
        body = await request.json()
        principal = await request.principal(body)
        principal.require(scope)
        return body, principal
    principal = await request.principal()
    principal.require(scope)
    return await request.json(), principal


def _target(request: HotRequest) -> dict[str, str]:
    """The order that the path names. Raises Problem ``unknown_order``."""
    text: str = request.scope["path_params"]["order_id"]
    if text.startswith(CLIENT_PREFIX):
        return {"client_order_id": client_id(text[len(CLIENT_PREFIX) :], "client_order_id")}
    if parse_order_id(text) is None:
        raise Problem(codes.UNKNOWN_ORDER)
    return {"id": text}


def _single(results: list[ItemResult]) -> tuple[int, object]:
    result = results[0]
    return result.status, result.body
