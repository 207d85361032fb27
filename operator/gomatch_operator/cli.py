"""`gomatch-operator`: run it, or have it say what it would do."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml

from gomatch.errors import ConfigurationError, GomatchError
from gomatch_operator.planning import plan_market

_ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="GOMATCH_OPERATOR_CONFIG",
        help="The operator's YAML file; see docs/operator.md.",
    ),
]
_KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        envvar="KUBECONFIG",
        help="Who to be at the API server; the pod's service account if absent.",
    ),
]

app = typer.Typer(
    help="The operator of gomatch: it makes every Market a trading pair and keeps it one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def run(config: _ConfigOption, kubeconfig: _KubeconfigOption = None) -> None:
    """Serve Markets until a signal comes."""
    from gomatch_operator.app import run as run_operator
    from gomatch_operator.settings import load_settings

    try:
        code = run_operator(load_settings(config), kubeconfig=kubeconfig)
    except ConfigurationError as error:
        sys.stderr.write(f"gomatch-operator: {error}\n")
        raise typer.Exit(2) from error
    raise typer.Exit(code)


@app.command()
def plan(
    config: _ConfigOption,
    file: Annotated[Path, typer.Option("--file", "-f", help="A Market, as for kubectl apply.")],
    kubeconfig: _KubeconfigOption = None,
) -> None:
    """Print what would be done for a Market as things stand, and do nothing."""
    from gomatch_operator.settings import load_settings

    try:
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
        lines = asyncio.run(plan_market(body, load_settings(config), kubeconfig))
    except (OSError, yaml.YAMLError, GomatchError) as error:
        sys.stderr.write(f"gomatch-operator: {error}\n")
        raise typer.Exit(2) from error
    for line in lines:
        sys.stdout.write(f"{line}\n")


def main() -> None:
    app()
