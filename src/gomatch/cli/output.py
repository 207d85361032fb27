"""What commands print, and the exit codes that scripts can rely on.

Results go to standard output, as tables or, with ``--json``, as one JSON document; everything
else goes to standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_WIDTH = 10_000
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


class ExitCode(IntEnum):
    OK = 0
    REFUSED = 1
    """The answer is no: refused, unknown, rejected."""
    USAGE = 2
    """The command line or the settings cannot work."""
    UNAVAILABLE = 3
    """A server cannot be reached or did not answer in time."""
    INCOMPLETE = 4
    """Nothing wrong was found, but not everything could be looked at."""


class CommandFailed(Exception):
    """Ends a command with ``code`` and a message on standard error."""

    def __init__(self, message: str, code: ExitCode, *, reason: str = "refused") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        """A stable word for scripts."""


class Output:
    """Standard output and standard error of one command."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        # What is wider than the terminal is wrapped there; nothing is ever cut off.
        self._console = Console(highlight=False, width=_WIDTH)
        self._errors = Console(stderr=True, highlight=False)

    def result(self, data: Any, view: RenderableType) -> None:
        """``data`` as JSON, or ``view`` for people."""
        if self.json:
            typer.echo(msgspec.json.format(msgspec.json.encode(data), indent=2))
        else:
            self._console.print(view, soft_wrap=not isinstance(view, Table))

    def line(self, data: Any) -> None:
        """One JSON document on one line, for endless output."""
        typer.echo(msgspec.json.encode(data))

    def note(self, text: str) -> None:
        """For people only, on standard error."""
        if not self.json:
            self._errors.print(Text(text), soft_wrap=True)

    def error(self, message: str, reason: str) -> None:
        if self.json:
            typer.echo(msgspec.json.encode({"error": reason, "message": message}), err=True)
        else:
            self._errors.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A plain table; columns whose name begins with ``>`` are aligned to the right."""
    built = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        right = column.startswith(">")
        built.add_column(column.lstrip(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        built.add_row(*(_cell(value) for value in row))
    return built


def fields(pairs: Iterable[tuple[str, object]]) -> Table:
    """Names and values below each other."""
    built = Table(box=None, pad_edge=False, show_header=False)
    built.add_column(style="bold", no_wrap=True)
    built.add_column(overflow="fold")
    for name, value in pairs:
        built.add_row(name, _cell(value))
    return built


def _cell(value: object) -> Text:
    # Text, so that no value is ever taken for markup.
    return Text("" if value is None else str(value))
