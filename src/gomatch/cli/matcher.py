"""`gomatch matcher`: one market's matcher in this process."""

from __future__ import annotations

from typing import Annotated

import typer

from gomatch.cli.output import Output
from gomatch.cli.session import run_program
from gomatch.settings import load_settings
from gomatch_matcher.main import run


def register(app: typer.Typer) -> None:
    @app.command()
    def matcher(
        market: Annotated[
            str, typer.Option(help="The symbol to serve; by default GOMATCH_MARKET.")
        ] = "",
    ) -> None:
        """Serve one market, or wait to take it over, until SIGTERM or Ctrl-C."""

        def program() -> None:
            settings = load_settings()
            run(settings.model_copy(update={"market": market}) if market else settings)

        run_program(Output(), program)
