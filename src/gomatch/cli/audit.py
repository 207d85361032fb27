"""`gomatch audit`: check every invariant from what is stored."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gomatch.audit import AuditReport
from gomatch.audit import audit as run_audit
from gomatch.cli.output import CommandFailed, ExitCode, JsonOption, Output
from gomatch.cli.session import database, run
from gomatch.settings import load_settings


def register(app: typer.Typer) -> None:
    @app.command()
    def audit(
        market: Annotated[
            list[str] | None, typer.Option(help="Only this market; may be repeated.")
        ] = None,
        without_redis: Annotated[
            bool, typer.Option("--without-redis", help="Do not look at the Redis mirrors.")
        ] = False,
        json: JsonOption = False,
    ) -> None:
        """Replay every market and compare journal, chain, orders, trades, images and mirrors.

        Works on a running or stopped system and writes nothing. Ends with 0 when all was checked
        and is sound, 1 when anything differs, 3 when PostgreSQL cannot be reached, and 4 when
        nothing differs but something could not be checked, a Redis that does not answer say.
        """
        output = Output(json=json)

        async def command() -> None:
            settings = load_settings()
            async with database(settings):
                pass  # says what to do where there is no database, or none of this build
            report = await run_audit(
                settings.postgres.current_url(),
                None if without_redis else settings.redis,
                market,
            )
            output.result(report.to_dict(), _view(report))
            if not report.clean:
                count = len(report.findings) + report.more
                raise CommandFailed(
                    f"{count} difference(s) found", ExitCode.REFUSED, reason="differences"
                )
            if not report.complete:
                raise CommandFailed(
                    "not everything could be checked", ExitCode.INCOMPLETE, reason="incomplete"
                )

        run(output, command)


def _view(report: AuditReport) -> RenderableType:
    table = Table("Market", "Commands", "Events", "Orders", "Trades", "Images", "Mirror at")
    for symbol, figures in report.markets.items():
        table.add_row(
            symbol,
            f"{figures.commands:,}",
            f"{figures.events:,}",
            f"{figures.orders:,}",
            f"{figures.trades:,}",
            str(figures.images),
            "-" if figures.mirror_sequence is None else f"{figures.mirror_sequence:,}",
        )
    lines = [Text(f"{one.market}  {one.kind}  {one.detail}", "red") for one in report.findings]
    if report.more:
        lines.append(Text(f"and {report.more} more", "red"))
    lines += [Text(f"could not be checked: {what}", "yellow") for what in report.unchecked]
    lines += [Text(f"outside this audit: {what}") for what in report.outside]
    if not report.clean:
        lines.append(Text("NOT clean", "bold red"))
    elif not report.complete:
        lines.append(Text("clean as far as it could be checked", "yellow"))
    else:
        lines.append(Text("clean", "green"))
    return Group(table, *lines)
