"""The ASGI application."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, WebSocketRoute

from gomatch.observability import logs
from gomatch_api import codes, openapi
from gomatch_api.problems import Problem
from gomatch_api.routes.admin import admin_routes
from gomatch_api.routes.common import problem_response
from gomatch_api.routes.markets import market_routes
from gomatch_api.routes.operations import operation_routes
from gomatch_api.routes.orders import order_routes
from gomatch_api.routes.orders_hot import hot_order_routes
from gomatch_api.services import Services

_log = logs.get(__name__)

_BY_STATUS = {
    400: codes.MALFORMED_REQUEST,
    404: codes.NOT_FOUND,
    405: codes.METHOD_NOT_ALLOWED,
    413: codes.BODY_TOO_LARGE,
    415: codes.UNSUPPORTED_MEDIA_TYPE,
}


def create_app(services: Services) -> FastAPI:
    """All routes of a replica. The hot ones come first and have no middleware of ours."""
    app = FastAPI(
        title="gomatch",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
    )
    app.router.routes[:0] = [*hot_order_routes(services), *admin_routes(services)]
    app.include_router(order_routes(services))
    app.include_router(market_routes(services))
    app.include_router(operation_routes(services))
    app.router.routes.append(WebSocketRoute("/v1/stream", services.stream.endpoint, name="stream"))
    openapi.install(app)
    _install_handlers(app, services)
    if services.tracing.enabled:
        _trace(app, services)
    return app


def _install_handlers(app: FastAPI, services: Services) -> None:
    def refused(problem: Problem) -> Response:
        services.metrics.problems.labels(problem.code.code).inc()
        return problem_response(problem)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _BY_STATUS.get(error.status_code, codes.INTERNAL_ERROR)
        headers = {}
        if code is codes.METHOD_NOT_ALLOWED:
            headers["allow"] = ", ".join(_methods(app, request.scope))
        return refused(Problem(code, headers=headers))

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return refused(_validation_problem(error))

    async def on_error(_: Request, error: Exception) -> Response:
        _log.error("request_failed", exc_info=error)
        services.metrics.unexpected_errors.inc()
        return refused(Problem(codes.INTERNAL_ERROR))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_error)


def _validation_problem(error: RequestValidationError) -> Problem:
    first: dict[str, Any] = dict(error.errors()[0])
    field = next(name for name in reversed(first["loc"]) if isinstance(name, str))[:100]
    if first["type"] == "missing":
        return Problem(codes.MISSING_FIELD, f"`{field}` is required.", field=field)
    return Problem(codes.INVALID_VALUE, f"{first['msg']}.", field=field)


def _methods(app: FastAPI, scope: Any) -> list[str]:
    """The methods that this path takes, by whichever routes. An address of its own, such as that
    of batches, does not take what an order's would."""
    own = app.openapi()["paths"].get(scope["path"])
    if own is not None:
        return sorted(method.upper() for method in own)
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]


def _trace(app: FastAPI, services: Services) -> None:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=services.tracing.provider,
        # A stream lives for hours; each order on it is a trace of its own.
        excluded_urls="healthz,readyz,metrics,v1/stream",
        exclude_spans=["receive", "send"],
    )
