"""`gomatch replay`: a market's events from the journal, as JSON lines."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from gomatch.cli.output import CommandFailed, ExitCode, Output
from gomatch.cli.session import database, run
from gomatch.messages.codec import unpack_events
from gomatch.settings import load_settings
from gomatch.store import Journal, Markets


def register(app: typer.Typer) -> None:
    @app.command()
    def replay(
        market: Annotated[str, typer.Argument(help="The market's symbol.")],
        after: Annotated[int, typer.Option(help="Begin after this sequence.", min=0)] = 0,
        limit: Annotated[int | None, typer.Option(help="At most this many events.", min=1)] = None,
    ) -> None:
        """Print the journal's events, one JSON object a line, in sequence.

        Prices are ticks and quantities lots, as the engine has them. `gomatch audit` checks that
        matching again gives the same.
        """
        output = Output(json=True)

        async def command() -> None:
            async with database(load_settings()) as pool:
                record = await Markets(pool).get(market)
                if record is None:
                    raise CommandFailed(
                        f"there is no market {market}", ExitCode.REFUSED, reason="unknown_market"
                    )
                journal = Journal(pool)
                sequence, left = after, limit
                while rows := await journal.rows(record.market_id, sequence):
                    for row in rows:
                        for number, event in enumerate(
                            unpack_events(row.events), row.first_sequence
                        ):
                            if number <= sequence:
                                continue
                            if left == 0:
                                return
                            output.line(
                                {
                                    "sequence": number,
                                    "time": row.time,
                                    "event": type(event).__name__,
                                    **msgspec.structs.asdict(event),
                                }
                            )
                            sequence = number
                            left = None if left is None else left - 1
                    sequence = rows[-1].last_sequence

        run(output, command)
