"""`gomatch load`: a realistic order flow, or a recorded one, against a running venue."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gomatch.cli.http import DEFAULT_URL, UrlOption, check_url
from gomatch.cli.load_report import report_view
from gomatch.cli.output import CommandFailed, ExitCode, JsonOption, Output
from gomatch.cli.session import database, run_program
from gomatch.errors import ConfigurationError
from gomatch.load.lobster import read_recording
from gomatch.load.plan import LARGEST_BATCH, LoadPlan, Via
from gomatch.load.replay_run import ReplayRun
from gomatch.load.runner import LoadRun
from gomatch.load.statistics import LoadReport, Statistics
from gomatch.load.venue import load_markets
from gomatch.messages.credentials import derive_secret, parse_server_key, token
from gomatch.settings import load_settings
from gomatch.store import ApiKeys

_REFRESH_SECONDS = 0.25


def register(app: typer.Typer) -> None:
    @app.command("load")
    def load(
        url: UrlOption = DEFAULT_URL,
        tokens: Annotated[
            list[str] | None,
            typer.Option(
                "--token",
                envvar="GOMATCH_TOKEN",
                help="A user's token; repeat it for more users. Without one, keys are made in "
                "the database.",
                show_default=False,
            ),
        ] = None,
        users: Annotated[
            int, typer.Option(min=1, max=500, help="Users to make keys for, without --token.")
        ] = 4,
        markets: Annotated[
            list[str] | None,
            typer.Option("--market", help="Repeatable; without it all that are running."),
        ] = None,
        orders: Annotated[
            int, typer.Option(min=0, help="End after so many commands; 0 is no limit.")
        ] = 10_000,
        duration: Annotated[float, typer.Option(min=0.1, help="End after so many seconds.")] = 60.0,
        rate: Annotated[
            float,
            typer.Option(min=0, help="Commands a second in all; 0 is as fast as it goes."),
        ] = 0.0,
        batch: Annotated[
            int, typer.Option(min=1, max=LARGEST_BATCH, help="Commands in one request.")
        ] = 1,
        window: Annotated[
            int, typer.Option(min=1, max=100, help="Requests in flight by user and market.")
        ] = 1,
        via: Annotated[Via, typer.Option(help="How orders are sent.")] = "rest",
        client_ids: Annotated[
            bool, typer.Option("--client-ids", help="Give every order a client_order_id.")
        ] = False,
        seed: Annotated[int, typer.Option(help="The same seed gives the same flow.")] = 1,
        replay: Annotated[
            Path | None,
            typer.Option(help="Send a recorded flow instead: a LOBSTER message file."),
        ] = None,
        speed: Annotated[
            float,
            typer.Option(min=0, help="Of the recording's own pace; 0 is as fast as it goes."),
        ] = 1.0,
        json: JsonOption = False,
    ) -> None:
        """Send an order flow: Poisson arrivals, limit orders around a moving mid, orders that
        cross it, market orders and cancels; or a recorded flow with --replay.

        It ends after --orders or --duration, whichever comes first, and prints latencies: until
        the acknowledgement, and until an order's first fill on its owner's stream. A single user
        trades with itself, without self-trade prevention. Ends with 1 when all was refused, and
        with 3 when no answer came.
        """
        output = Output(json=json)

        async def command() -> None:
            check_url(url)
            prefix = secrets.token_hex(4)
            bearers = tokens or await _make_tokens(1 if replay else users)
            plan = LoadPlan(
                url=url,
                tokens=bearers,
                markets=await load_markets(url, markets or ()),
                orders=orders if replay is None else 0,
                seconds=duration,
                rate=rate,
                window=window,
                batch=batch,
                via=via,
                seed=seed,
                client_ids=prefix if client_ids else "",
                alone=len(bearers) == 1,
            )
            if replay is None:
                load_run = LoadRun(plan)
                report = await _with_progress(output, load_run.statistics, orders, load_run.run)
            else:
                recording = read_recording(replay)
                replayed = ReplayRun(plan, recording, speed=speed, prefix=f"{prefix}-")
                steps = len(recording.opening) + len(recording.steps)
                report = await _with_progress(output, replayed.statistics, steps, replayed.run)
            output.result(report, report_view(report))
            if not report.acknowledged:
                raise CommandFailed(
                    "nothing was acknowledged",
                    ExitCode.REFUSED if report.refused else ExitCode.UNAVAILABLE,
                    reason="nothing_acknowledged",
                )

        run_program(output, lambda: uvloop.run(command()))


async def _make_tokens(users: int) -> list[str]:
    settings = load_settings()
    key_text = settings.server_key_text()
    if not key_text:
        raise ConfigurationError(
            "give --token, or GOMATCH_SERVER_KEY and GOMATCH_POSTGRES_URL to make keys with"
        )
    server_key = parse_server_key(key_text)
    async with database(settings) as pool:
        keys = [
            await ApiKeys(pool).create(
                f"load-{number}", ["read", "trade"], label="gomatch load", rate_limit=0
            )
            for number in range(1, users + 1)
        ]
    return [token(key.key_id, derive_secret(server_key, key.key_id)) for key in keys]


async def _with_progress(
    output: Output,
    statistics: Statistics,
    total: int,
    work: Callable[[], Coroutine[object, object, LoadReport]],
) -> LoadReport:
    """Run ``work`` and show how it gets on, on standard error."""
    if output.json:
        return await work()
    columns = (
        TextColumn("{task.completed:,.0f} commands"),
        BarColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        bar = progress.add_task("load", total=total or None, rate=0.0)
        working = asyncio.ensure_future(work())
        try:
            while not working.done():
                await asyncio.wait([working], timeout=_REFRESH_SECONDS)
                progress.update(bar, completed=statistics.sent, rate=statistics.rate, refresh=True)
        finally:
            if not working.done():
                working.cancel()
                await asyncio.wait([working])
        return working.result()
