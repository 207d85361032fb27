"""What the FastAPI routes share: the caller, JSON answers, measuring."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from gomatch.errors import StoreUnavailable
from gomatch.observability import logs
from gomatch_api import codes, problems
from gomatch_api.asgi import target_of
from gomatch_api.auth import Principal
from gomatch_api.problems import Problem

if TYPE_CHECKING:
    from gomatch_api.services import Services

_log = logs.get(__name__)
_encode = msgspec.json.Encoder().encode

Dependency = Callable[[Request], Awaitable[Principal]]


def answer(body: object, status: int = 200) -> Response:
    """JSON of a struct."""
    return Response(_encode(body), status_code=status, media_type="application/json")


def problem_response(problem: Problem) -> Response:
    return Response(
        problems.encode(problem),
        status_code=problem.status,
        media_type=problems.MEDIA_TYPE,
        headers=problem.headers,
    )


def caller(services: Services, scope: str, *, costs: int = 0) -> Dependency:
    """A dependency: the caller, who must have ``scope``. ``costs`` counts against the limit."""

    async def principal(request: Request) -> Principal:
        signed = "x-gomatch-signature" in request.headers
        found = await services.keys.identify(
            request.headers,
            method=request.method,
            target=target_of(request.scope),
            body=await request.body() if signed else b"",
        )
        found.require(scope)
        if costs:
            found.spend(costs)
        return found

    return principal


def measured_route(services: Services) -> type[APIRoute]:
    """A route class that measures, and turns what goes wrong into problem documents."""
    metrics = services.metrics

    class MeasuredRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()
            name = self.name

            async def measured(request: Request) -> Response:
                began = time.perf_counter()
                try:
                    response = await handler(request)
                except Problem as problem:
                    response = _refused(services, problem)
                except StoreUnavailable as error:
                    services.health.report_failure(error)
                    metrics.database_errors.labels(name).inc()
                    response = _refused(
                        services, Problem(codes.DATABASE_UNAVAILABLE, retry_after=1)
                    )
                except (HTTPException, RequestValidationError):
                    raise
                except Exception:  # noqa: BLE001  whatever it is, the client gets a document
                    _log.exception("request_failed", route=name)
                    metrics.unexpected_errors.inc()
                    response = _refused(services, Problem(codes.INTERNAL_ERROR))
                seconds = time.perf_counter() - began
                metrics.requests.labels(name, f"{response.status_code // 100}xx").observe(seconds)
                return response

            return measured

    return MeasuredRoute


def need_database(services: Services) -> None:
    """Raises Problem at once while PostgreSQL is known to be away."""
    if not services.health.available:
        raise Problem(codes.DATABASE_UNAVAILABLE, retry_after=1)


def _refused(services: Services, problem: Problem) -> Response:
    services.metrics.problems.labels(problem.code.code).inc()
    return problem_response(problem)
