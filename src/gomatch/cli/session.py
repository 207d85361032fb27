"""How a command runs: settings, the event loop, the database, and errors as exit codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import asyncpg
import typer

from gomatch.cli.output import CommandFailed, ExitCode, Output
from gomatch.errors import (
    CacheError,
    CacheStale,
    ConfigurationError,
    ConnectionFailed,
    GomatchError,
    StoreUnavailable,
    TransportError,
)
from gomatch.settings import Settings
from gomatch.store import check_schema, close_pool, connect_pool

_CLOSE_SECONDS = 2.0


def run(output: Output, command: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run ``command`` to its end; failures become a message that says what to do, and an exit
    code."""
    run_program(output, lambda: asyncio.run(command()))


def run_program(output: Output, program: Callable[[], None]) -> None:
    """The same for what brings its own event loop."""
    try:
        program()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except CommandFailed as failure:
        output.error(str(failure), failure.reason)
        raise typer.Exit(failure.code) from failure
    except GomatchError as error:
        output.error(f"{error}{_advice(error)}", error.code)
        raise typer.Exit(exit_code_of(error)) from error


def exit_code_of(error: GomatchError) -> ExitCode:
    match error:
        case ConfigurationError():
            return ExitCode.USAGE
        case StoreUnavailable() | TransportError() | ConnectionFailed():
            return ExitCode.UNAVAILABLE
        case CacheError() if not isinstance(error, CacheStale):
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.REFUSED


def _advice(error: GomatchError) -> str:
    if isinstance(error, StoreUnavailable):
        return (
            "; GOMATCH_POSTGRES_URL says where it is, or run this in the folder of a running "
            "`gomatch up`"
        )
    return ""


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[asyncpg.Pool]:
    """Two connections to a database of this build's schema. Raises StoreUnavailable,
    SchemaMismatch."""
    pool = await connect_pool(
        settings.postgres,
        size=2,
        timeout=settings.database_timeout,
        application="gomatch command line",
    )
    try:
        await check_schema(pool)
        yield pool
    finally:
        await close_pool(pool, timeout=_CLOSE_SECONDS)
