"""The hot routes without the application's middleware and router, which cost more than they do."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route

from gomatch_api.asgi import EXCHANGE_EXTENSION, HotEndpoint, Receive, Scope, Send

_ORDER = "/v1/orders/"


class HotShortcut:
    """An ASGI application: requests that certainly belong to a hot route of ``app`` go straight to
    its endpoint, everything else to ``app``, which has these routes too."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._fixed: dict[tuple[str, str], HotEndpoint] = {}
        self._of_order: dict[str, HotEndpoint] = {}
        for route in app.router.routes:
            if not isinstance(route, Route) or not isinstance(route.endpoint, HotEndpoint):
                continue
            for method in route.methods or ():
                if route.path == _ORDER + "{order_id}":
                    self._of_order[method] = route.endpoint
                elif "{" not in route.path:
                    self._fixed[method, route.path] = route.endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._find(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
        else:
            exchange = scope.get("extensions", {}).get(EXCHANGE_EXTENSION)
            await endpoint.serve(scope, receive, send, exchange)

    def _find(self, scope: Scope) -> HotEndpoint | None:
        method, path = scope["method"], scope["path"]
        endpoint = self._fixed.get((method, path))
        if endpoint is not None or not path.startswith(_ORDER):
            return endpoint
        order = path[len(_ORDER) :]
        if not order or "/" in order:
            return None
        scope["path_params"] = {"order_id": order}
        return self._of_order.get(method)
