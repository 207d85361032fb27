"""Health and metrics of a matcher over HTTP."""

from __future__ import annotations

import time

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gomatch.hosted_server import HostedServer
from gomatch_matcher.service import MatcherService

_STUCK_SECONDS = 60.0


def health_application(service: MatcherService, registry: CollectorRegistry) -> Starlette:
    """/healthz fails only when a leader has made no progress with its lease for a minute though
    its process runs; /readyz while it neither leads nor waits with PostgreSQL in reach; its
    body says why."""

    async def healthz(_: Request) -> Response:
        status = service.status
        stuck = status.leading and time.monotonic() - status.last_progress > _STUCK_SECONDS
        return JSONResponse({"status": "stuck" if stuck else "ok"}, 503 if stuck else 200)

    async def readyz(_: Request) -> Response:
        status = service.status
        trouble = status.not_ready
        body = {
            "market": service.symbol,
            "ready": trouble is None,
            "role": "leader" if status.leading else "standby" if status.waiting else "starting",
            "epoch": status.epoch,
            "recovered_from": status.recovered_from,
            "reason": trouble.code if trouble else "",
            "why": trouble.why if trouble else "",
        }
        return JSONResponse(body, 503 if trouble else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]
    )


def health_server(application: Starlette, *, host: str, port: int) -> HostedServer:
    return HostedServer(
        uvicorn.Config(
            application,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
