"""Health, readiness and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gomatch_api.responses import Health, Readiness
from gomatch_api.routes.common import answer, measured_route
from gomatch_api.routes.documents import documented, reference

if TYPE_CHECKING:
    from gomatch_api.services import Services


def operation_routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["operations"], route_class=measured_route(services))

    @router.get("/healthz", summary="Whether this process answers", responses=documented("Health"))
    async def healthz() -> Response:
        return answer(Health(status="ok"))

    @router.get(
        "/readyz",
        summary="Whether this replica can serve everything",
        responses={
            **documented("Readiness"),
            503: {
                "description": "Something is missing; the body names it.",
                "content": {"application/json": {"schema": reference("Readiness")}},
            },
        },
    )
    async def readyz() -> Response:
        missing = services.missing()
        readiness = Readiness(ready=not missing, missing=missing, why=services.health.why)
        return answer(readiness, 503 if missing else 200)

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        responses={200: {"description": "Prometheus' text format.", "content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
