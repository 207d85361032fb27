"""`python -m gomatch.cli.servers`: gets what the servers of this machine need and has not come
with pip, so that nothing has to be downloaded later while somebody waits."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from gomatch.cli.servers.process import ServerError
from gomatch.cli.servers.rabbitmq_install import find, find_or_install

TOOLS = Path(".tools")


def main() -> int:
    """The exit code: 0 when everything is there."""
    tools = TOOLS.absolute()
    if find(tools) is not None:
        return 0
    typer.echo("RabbitMQ is missing: getting Debian's rabbitmq-server and Erlang (a few minutes)")
    try:
        installation = find_or_install(tools)
    except ServerError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    typer.echo(f"RabbitMQ is in {installation.scripts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
