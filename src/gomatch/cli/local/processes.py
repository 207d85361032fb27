"""API and each matcher as a process of its own, started again when one ends."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from gomatch.cli.local.markets import MarketWatch
from gomatch.cli.servers.ports import free_port
from gomatch.cli.servers.process import ServerProcess
from gomatch.observability import logs
from gomatch.settings import Settings
from gomatch.store import Markets, close_pool, connect_pool

_POLL_SECONDS = 0.2
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 20.0

_log = logs.get(__name__)


async def serve(
    settings: Settings,
    environment: Mapping[str, str],
    *,
    folder: Path,
    stop: asyncio.Event,
    ready: Callable[[int], None],
) -> None:
    """Until ``stop``; then first the API ends, then the matchers. ``environment`` carries the
    settings to the processes; their logs are in ``folder``. Raises StoreUnavailable."""
    port = settings.api_port or free_port()
    callback = free_port([port])
    shared = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GOMATCH_")},
        **environment,
        "GOMATCH_API_PORT": str(port),
        "GOMATCH_CALLBACK_PORT": str(callback),
        "GOMATCH_CALLBACK_TARGETS": f"127.0.0.1:{callback}",
    }
    stop_matchers = asyncio.Event()
    pool = await connect_pool(
        settings.postgres,
        size=2,
        timeout=settings.database_timeout,
        application="gomatch up",
    )

    ports: dict[str, int] = {}

    async def lead(symbol: str) -> None:
        matcher = ports[symbol] = free_port([callback, port, *ports.values()])
        variables = {
            **shared,
            "GOMATCH_MARKET": symbol,
            "GOMATCH_MATCHER_HOST": "127.0.0.1",
            "GOMATCH_MATCHER_PORT": str(matcher),
        }
        log = folder / f"matcher-{symbol}.log"
        await _keep_running("gomatch_matcher", variables, log, stop_matchers)

    async def all_ready() -> None:
        await _wait_ready(port, stop)
        for market in await Markets(pool).list():
            while market.symbol not in ports and not stop.is_set():
                await _pause(stop, _POLL_SECONDS)
            if market.symbol in ports:
                await _wait_ready(ports[market.symbol], stop)

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(MarketWatch(pool, start=lead, stop=stop_matchers).run())
            api = group.create_task(_keep_running("gomatch_api", shared, folder / "api.log", stop))
            try:
                await all_ready()
                if not stop.is_set():
                    ready(port)
                await api
            finally:
                stop_matchers.set()
    finally:
        await close_pool(pool)


async def _keep_running(
    module: str, environment: Mapping[str, str], log: Path, stop: asyncio.Event
) -> None:
    """Run ``python -m module`` until ``stop``, again after it ended by itself."""
    while not stop.is_set():
        process = ServerProcess(
            [sys.executable, "-m", module], log=log, environment=environment, folder=log.parent
        )
        try:
            while process.running and not stop.is_set():
                await _pause(stop, _POLL_SECONDS)
        finally:
            if not process.running and not stop.is_set():
                _log.warning("process_ended", program=module, log=str(log))
            await asyncio.to_thread(process.stop, _STOP_SECONDS)
        await _pause(stop, _RESTART_SECONDS)


async def _wait_ready(port: int, stop: asyncio.Event) -> None:
    """Until /readyz says yes, or until all is to stop."""
    async with httpx.AsyncClient(timeout=2.0) as client:
        while not stop.is_set():
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/readyz")
                if answer.is_success:
                    return
            except httpx.HTTPError as error:
                _log.debug("not_ready", port=port, why=repr(error))
            await _pause(stop, _POLL_SECONDS)


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
