"""`gomatch migrate`: bring the database's schema to this build's."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gomatch.cli.output import JsonOption, Output
from gomatch.cli.session import run
from gomatch.concurrency import Backoff
from gomatch.errors import StoreUnavailable
from gomatch.settings import load_settings
from gomatch.store import migrate as migrate_database


def register(app: typer.Typer) -> None:
    @app.command()
    def migrate(
        wait: Annotated[
            float,
            typer.Option(min=0, help="Seconds to try again while PostgreSQL cannot be used."),
        ] = 0.0,
        json: JsonOption = False,
    ) -> None:
        """Create or update the schema in PostgreSQL. Safe when several start it at once."""
        output = Output(json=json)

        async def command() -> None:
            applied = await _migrated(output, wait=wait)
            lines = [f"applied {name}" for name in applied] or ["nothing to do"]
            output.result({"applied": applied}, "\n".join(lines))

        run(output, command)


async def _migrated(output: Output, *, wait: float) -> list[str]:
    """What was applied. Raises StoreUnavailable when ``wait`` seconds did not help."""
    endpoint = load_settings().postgres
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    backoff = Backoff(first=0.5, limit=5.0)
    while True:
        try:
            return await migrate_database(endpoint.current_url())
        except StoreUnavailable as error:
            left = deadline - loop.time()
            if left <= 0:
                raise
            delay = min(left, backoff.next_delay())
            output.note(f"attempt {backoff.attempts}: {error}; again for {left:.0f} s")
            await asyncio.sleep(delay)
