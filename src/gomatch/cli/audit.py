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
from gomatch.cli.session import load_settings, run


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

        Works on a running or stopped system and writes nothing. Ends with 1 when anything
        differs, and 3 when PostgreSQL cannot be reached.
        """
        output = Output(json=json)

        async def command() -> None:
            settings = load_settings()
            report = await run_audit(
                settings.postgres_url.get_secret_value(),
                None if without_redis else settings.redis_url.get_secret_value(),
                market,
            )
            output.result(report.to_dict(), _view(report))
            if not report.clean:
                count = len(report.findings) + report.more
                raise CommandFailed(
                    f"{count} difference(s) found", ExitCode.REFUSED, reason="differences"
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
    lines += [Text(f"not checked: {what}", "yellow") for what in report.unchecked]
    lines.append(Text("clean", "green") if report.clean else Text("NOT clean", "bold red"))
    return Group(table, *lines)
