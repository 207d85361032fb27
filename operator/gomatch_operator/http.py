"""Health and metrics of the operator over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest


@dataclass(frozen=True, slots=True)
class Health:
    """``alive`` ends the process when False; ``ready`` takes it out of service; ``role`` and
    ``problem`` are for people."""

    alive: bool
    ready: bool
    role: str
    problem: str = ""


class HealthServer:
    def __init__(self, registry: CollectorRegistry, health: Callable[[], Health]) -> None:
        self._registry = registry
        self._health = health
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Raises OSError when the port is taken. Port 0 takes a free one."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return self._answer(self._health().alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        return self._answer(self._health().ready)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def _answer(self, good: bool) -> web.Response:
        health = self._health()
        return web.json_response(
            {"ok": good, "role": health.role, "problem": health.problem},
            status=200 if good else 503,
        )
