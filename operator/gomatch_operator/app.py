"""The operator as a program: probes and metrics from the first moment, orderly until the last."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from gomatch.concurrency import run_until_first
from gomatch.errors import Fenced
from gomatch.observability import logs
from gomatch_operator.cluster.connection import connect
from gomatch_operator.composition import Operator
from gomatch_operator.errors import LeadershipLost
from gomatch_operator.fault_points import Checkpoint, no_checkpoint
from gomatch_operator.http import HealthServer
from gomatch_operator.metrics import OperatorMetrics
from gomatch_operator.settings import OperatorSettings

_log = logs.get(__name__)

_COLLECT_AFTER = (20_000, 10, 20)
"""Thresholds of the three generations. With Python's own, objects of events that are still in use
soon count as old, and for their sake all that is known of a thousand Markets is looked through
every few seconds while the cluster changes."""


def run(
    settings: OperatorSettings, *, kubeconfig: Path | None, checkpoint: Checkpoint = no_checkpoint
) -> int:
    """Until a signal comes; returns the exit code: 1 after the Lease was lost, as only a process
    that begins anew is sure to have forgotten what it was about to do.

    Raises ConfigurationError, and OSError when the port is taken.
    """
    logs.configure(level=settings.log_level, style=settings.log_format)
    gc.set_threshold(*_COLLECT_AFTER)
    # One line for each event of the watches, and what our own lines say.
    for name in ("kopf", "kubernetes.aio.leaderelection"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return uvloop.run(_until_stopped(settings, kubeconfig, checkpoint))


async def _until_stopped(
    settings: OperatorSettings, kubeconfig: Path | None, checkpoint: Checkpoint
) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        client = await connect(kubeconfig)
        stack.push_async_callback(client.close)
        operator = Operator(
            settings,
            client,
            OperatorMetrics(registry),
            kubeconfig=kubeconfig,
            checkpoint=checkpoint,
        )
        server = HealthServer(registry, operator.health)
        await server.start(settings.host, settings.port)
        stack.push_async_callback(server.close)
        _log.info("listening", port=server.port)
        try:
            await run_until_first(operator.run(), _stopped(stop))
        except (LeadershipLost, Fenced) as error:
            _log.error("leadership_lost", why=str(error))
            return 1
    return 0


async def _stopped(stop: asyncio.Event) -> None:
    await stop.wait()
