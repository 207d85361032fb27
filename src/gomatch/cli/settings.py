"""`gomatch settings`: all settings as the table that docs/configuration.md is."""

from __future__ import annotations

from typing import Any

import typer

from gomatch.cli.output import JsonOption, Output
from gomatch.settings import Settings

_HEAD = """\
# Configuration

Every program reads its settings from environment variables; what is not set has the default below.
Durations are seconds. A value that cannot be used is refused at the start, by name.
This page is the output of `gomatch settings`.

| variable | default | values | meaning |
|---|---|---|---|
"""
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def register(app: typer.Typer) -> None:
    @app.command("settings")
    def print_settings(json: JsonOption = False) -> None:
        """Print every setting with its default and meaning, as markdown."""
        if json:
            Output(json=True).result(rows(), "")
        else:
            typer.echo(markdown(), nl=False)


def markdown() -> str:
    """The whole of docs/configuration.md."""
    return _HEAD + "".join(
        f"| `{row['variable']}` | {_code(row['default'])} "
        f"| {row['values']} | {row['meaning'].replace('|', chr(92) + '|')} |\n"
        for row in rows()
    )


def rows() -> list[dict[str, str]]:
    """One for each setting: ``variable``, ``default``, ``values``, ``meaning``."""
    properties = Settings.model_json_schema()["properties"]
    return [
        {
            "variable": f"GOMATCH_{name.upper()}",
            "default": _default(name),
            "values": _values(properties[name]),
            "meaning": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    reveal = getattr(default, "get_secret_value", None)
    return "" if default is None else str(reveal() if reveal else default)


def _values(schema: dict[str, Any]) -> str:
    """What may stand there, where the type or a bound says it."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    return ", ".join(f"{sign} {schema[key]}" for key, sign in _BOUNDS.items() if key in schema)


def _code(text: str) -> str:
    return f"`{text}`" if text else "(none)"
