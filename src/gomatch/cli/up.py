"""`gomatch up`: a whole venue on this machine, to try it out."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shlex
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from pydantic import SecretStr

from gomatch.cli.local import processes, single
from gomatch.cli.local.first_run import prepare_database
from gomatch.cli.local.folder import DataFolder
from gomatch.cli.output import Output
from gomatch.cli.servers import LocalServer, PostgresServer, RabbitServer, RedisServer
from gomatch.cli.session import run_program
from gomatch.credentials import Endpoint
from gomatch.errors import ConfigurationError
from gomatch.observability import logs
from gomatch.settings import Settings, load_settings


def register(app: typer.Typer) -> None:
    @app.command()
    def up(
        real: Annotated[
            bool, typer.Option("--real", help="RabbitMQ, and a process for each part.")
        ] = False,
        data: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
        port: Annotated[
            int | None, typer.Option(help="The API's port; 0 takes a free one.", min=0, max=65535)
        ] = None,
    ) -> None:
        """Start servers, API and matchers; Ctrl-C stops them in order. Not for production.

        The first run makes two markets and a key, which it prints. Everything is kept between
        runs.

        Servers named by GOMATCH_POSTGRES_URL, GOMATCH_REDIS_URL and, with --real,
        GOMATCH_AMQP_URL are used instead of starting one.
        """
        output = Output()

        def program() -> None:
            settings = load_settings()
            if port is not None:
                settings = settings.model_copy(update={"api_port": port})
            # People look at this; what happens in order need not be told unless asked for.
            level = settings.log_level if "GOMATCH_LOG_LEVEL" in os.environ else "warning"
            logs.configure(level=level, style="console")
            # That this PostgreSQL has no standby is known, and said in the help.
            logging.getLogger("gomatch_api.services").setLevel("ERROR")
            check_port(settings.api_host, settings.api_port)
            folder = DataFolder(data or settings.data)
            with folder.locked():
                uvloop.run(_up(settings, folder, output, real=real))

        run_program(output, program)


async def _up(settings: Settings, folder: DataFolder, output: Output, *, real: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        variables = await _servers(settings, folder, stack, real=real)
        variables["GOMATCH_SERVER_KEY"] = settings.server_key_text() or folder.server_key()
        variables["GOMATCH_CALLBACK_TOKEN"] = (
            settings.callback_tokens() or [secrets.token_hex(32)]
        )[0]
        settings = settings.model_copy(
            update={
                "postgres_url": SecretStr(variables["GOMATCH_POSTGRES_URL"]),
                "redis_url": SecretStr(variables["GOMATCH_REDIS_URL"]),
                "server_key": SecretStr(variables["GOMATCH_SERVER_KEY"]),
                "callback_token": SecretStr(variables["GOMATCH_CALLBACK_TOKEN"]),
                "transport": "rabbitmq" if real else "inprocess",
                "callback_port": 0,
                # What they say is in the variables now; the rest is for pods.
                "postgres_credentials": None,
                "redis_credentials": None,
                "server_key_file": None,
                "callback_token_file": None,
                "pod_name": "",
            }
        )
        token = await prepare_database(settings)

        def ready(port: int) -> None:
            variables["GOMATCH_URL"] = f"http://127.0.0.1:{port}"
            stack.enter_context(folder.environment(variables))
            _greet(port, token)

        if real:
            await processes.serve(settings, variables, folder=folder.path, stop=stop, ready=ready)
        else:
            await single.serve(settings, stop=stop, ready=ready)
        output.note("stopped; everything is kept in " + str(folder.path))


async def _servers(
    settings: Settings, folder: DataFolder, stack: AsyncExitStack, *, real: bool
) -> dict[str, str]:
    """URLs by variable, of servers that are given or started here and stopped at the end."""
    wanted: list[tuple[str, Endpoint, type[LocalServer], str]] = [
        ("GOMATCH_POSTGRES_URL", settings.postgres, PostgresServer, "postgres"),
        ("GOMATCH_REDIS_URL", settings.redis, RedisServer, "redis"),
    ]
    if real:
        wanted.append(("GOMATCH_AMQP_URL", settings.amqp, RabbitServer, "rabbitmq"))
    urls: dict[str, str] = {}
    for variable, given, kind, name in wanted:
        if os.environ.get(variable):
            urls[variable] = given.current_url()
            continue
        server = kind(folder.path / name, besides=[settings.api_port])
        stack.push_async_callback(server.stop)
        await server.start()
        urls[variable] = server.url
    return urls


def _greet(port: int, token: str | None) -> None:
    url = f"http://127.0.0.1:{port}"
    lines = [
        f"gomatch is up at {url}; Ctrl-C stops it.",
        "",
        f"    OpenAPI      {url}/openapi.json",
        f"    WebSocket    ws://127.0.0.1:{port}/v1/stream",
    ]
    if token:
        lines += [
            "",
            "The key of user demo, shown this once:",
            "",
            f"    export GOMATCH_TOKEN={token}",
        ]
    else:
        lines += [
            "",
            "The first run printed the key of user demo. Another one:",
            "",
            f"    {_program()} keys create --user demo --scopes read,trade",
        ]
    lines += [
        "",
        "A first order:",
        "",
        f'    curl -s {url}/v1/orders -H "Authorization: Bearer $GOMATCH_TOKEN" \\',
        "      -H 'Content-Type: application/json' \\",
        (
            '      -d \'{"market":"BTC-USDT","side":"sell","type":"limit","price":"50000.00",'
            '"quantity":"0.01"}\''
        ),
    ]
    typer.echo("\n".join(lines))


def _program() -> str:
    """How this command was called, to be pasted."""
    path = Path(sys.argv[0])
    return (
        shlex.quote(sys.argv[0]) if path.name == "gomatch" else f"{sys.executable} -m gomatch.cli"
    )


def check_port(host: str, port: int) -> None:
    """Said before servers are started for nothing. Raises ConfigurationError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} cannot be used ({error.strerror}): give another with --port"
            ) from error
