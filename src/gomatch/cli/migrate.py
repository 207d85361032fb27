"""`gomatch migrate`: bring the database's schema to this build's."""

from __future__ import annotations

import typer

from gomatch.cli.output import JsonOption, Output
from gomatch.cli.session import run
from gomatch.settings import load_settings
from gomatch.store import migrate as migrate_database


def register(app: typer.Typer) -> None:
    @app.command()
    def migrate(json: JsonOption = False) -> None:
        """Create or update the schema in PostgreSQL. Safe when several start it at once."""
        output = Output(json=json)

        async def command() -> None:
            url = load_settings().postgres.current_url()
            applied = await migrate_database(url)
            lines = [f"applied {name}" for name in applied] or ["nothing to do"]
            output.result({"applied": applied}, "\n".join(lines))

        run(output, command)
