"""The command line: `gomatch`.

Exit codes: 0 done; 1 the answer is no (refused, unknown, damage found); 2 the command line or the
settings cannot work; 3 a server cannot be reached or did not answer in time; 4 nothing wrong found,
but not everything could be checked (audit); 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import typer

from gomatch.observability import logs

_COMMANDS = (
    "up",
    "migrate",
    "keys",
    "markets",
    "orders",
    "watch",
    "load",
    "audit",
    "replay",
    "settings",
    "api",
    "matcher",
)
_EXTRAS = {"api": "api", "up": "api,local", "matcher": "matcher"}
_HELP = "An order-matching venue."
_EPILOG = (
    "Exit codes: 0 done, 1 refused or damage found, 2 command line or settings cannot work, "
    "3 a server cannot be reached, 4 sound but not all could be checked (audit), 130 interrupted."
)


def main() -> None:
    """Entry point of the script `gomatch`."""
    arguments = sys.argv[1:]
    # To standard error: what a command prints may be read by a program. What serves sets it anew.
    logs.configure(level="warning", style="console")
    use_local_venue(arguments)
    application(arguments)()


def application(arguments: Sequence[str]) -> typer.Typer:
    """The application with the command that ``arguments`` name, or with all when they name none:
    each brings its own libraries, and importing them all takes longer than most commands do."""
    app = typer.Typer(
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def group() -> None:
        """With a callback a single registered command keeps its name."""

    named = arguments[0] if arguments and arguments[0] in _COMMANDS else None
    for command in [named] if named else _COMMANDS:
        _register(app, command)
    return app


def use_local_venue(arguments: Sequence[str]) -> None:
    """Commands go to the venue that `gomatch up` runs in this folder, unless told where to go."""
    if arguments[:1] == ["up"] or "GOMATCH_POSTGRES_URL" in os.environ:
        return
    path = Path(os.environ.get("GOMATCH_DATA", ".data")) / "environment"
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and name.startswith("GOMATCH_"):
            os.environ.setdefault(name, value)


def _register(app: typer.Typer, command: str) -> None:
    try:
        module = import_module(f"gomatch.cli.{command}")
    except ModuleNotFoundError as error:
        _register_missing(app, command, error.name or "a library")
    else:
        module.register(app)


def _register_missing(app: typer.Typer, command: str, library: str) -> None:
    extra = _EXTRAS.get(command)
    remedy = f"pip install 'gomatch[{extra}]'" if extra else "reinstall gomatch"

    @app.command(
        command,
        help=f"Not installed: {remedy}",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )
    def missing() -> None:
        typer.echo(f"error: `gomatch {command}` needs {library}: {remedy}", err=True)
        raise typer.Exit(2)
