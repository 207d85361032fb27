"""`gomatch api`: one API replica in this process."""

from __future__ import annotations

import typer

from gomatch.cli.output import Output
from gomatch.cli.session import run_program
from gomatch.settings import load_settings
from gomatch_api.main import run


def register(app: typer.Typer) -> None:
    @app.command()
    def api() -> None:
        """Serve REST, WebSocket and the matchers' callback until SIGTERM or Ctrl-C."""
        run_program(Output(), lambda: run(load_settings()))
