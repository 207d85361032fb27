"""`gomatch markets`: markets and their trading states, straight on PostgreSQL.

Every change is a numbered command of the market: its matcher finds it there even when the broker
is away, and applies it in turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import asyncpg
import msgspec
import typer

from gomatch.cli.market_commands import Outcome, enter_state, outcome
from gomatch.cli.market_options import (
    MakerFee,
    MaxOpenOrders,
    MaxQuantity,
    MinNotional,
    MinQuantity,
    PriceBand,
    PriceBandMode,
    ReferencePrice,
    SelfTradePrevention,
    TakerFee,
    changed,
    split_symbol,
)
from gomatch.cli.output import CommandFailed, ExitCode, JsonOption, Output, fields, table
from gomatch.cli.session import database, run
from gomatch.engine import TradingState
from gomatch.errors import ConfigurationError, UnknownMarket
from gomatch.messages.market import MarketDefinition
from gomatch.settings import Settings, load_settings
from gomatch.store import (
    MANAGED_BY,
    Leadership,
    LeaseHolder,
    MarketHead,
    MarketRecord,
    Markets,
)

MarketArgument = Annotated[str, typer.Argument(metavar="MARKET", help="For example BTC-USDT.")]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait", min=0, help="Seconds to wait for the matcher to apply it; 0 does not wait."
    ),
]
_WAIT = 5.0


def register(app: typer.Typer) -> None:
    markets = typer.Typer(help="Markets and their trading states.", no_args_is_help=True)
    app.add_typer(markets, name="markets")
    _register_definitions(markets)
    _register_states(markets)
    _register_mirror(markets)


def _register_definitions(markets: typer.Typer) -> None:
    @markets.command("create")
    def create_market(
        market: MarketArgument,
        tick: Annotated[str, typer.Option(help="Price step, in the quote asset.")],
        lot: Annotated[str, typer.Option(help="Quantity step, in the base asset.")],
        min_quantity: MinQuantity = None,
        max_quantity: MaxQuantity = None,
        min_notional: MinNotional = None,
        self_trade_prevention: SelfTradePrevention = None,
        price_band_mode: PriceBandMode = None,
        price_band: PriceBand = None,
        reference_price: ReferencePrice = None,
        maker_fee: MakerFee = None,
        taker_fee: TakerFee = None,
        max_open_orders: MaxOpenOrders = None,
        json: JsonOption = False,
    ) -> None:
        """Create a market. Doing it again changes nothing; tick and lot can never change."""
        output = Output(json=json)
        options = {
            "min_quantity": min_quantity,
            "max_quantity": max_quantity,
            "min_notional": min_notional,
            "self_trade_prevention": self_trade_prevention,
            "price_band_mode": price_band_mode,
            "price_band": price_band,
            "reference_price": reference_price,
            "maker_fee": maker_fee,
            "taker_fee": taker_fee,
            "max_open_orders": max_open_orders,
        }

        async def command() -> None:
            base, quote = split_symbol(market)
            identity = MarketDefinition(base=base, quote=quote, tick_size=tick, lot_size=lot)
            definition = changed(identity, options)
            async with database(load_settings()) as pool:
                record = await Markets(pool).create(definition)
            _show_definition(output, record.definition)
            if record.definition != definition:
                output.note(
                    "The market was there already with other options, which stay: "
                    "use `gomatch markets configure`."
                )

        run(output, command)

    @markets.command("configure")
    def configure_market(
        market: MarketArgument,
        min_quantity: MinQuantity = None,
        max_quantity: MaxQuantity = None,
        min_notional: MinNotional = None,
        self_trade_prevention: SelfTradePrevention = None,
        price_band_mode: PriceBandMode = None,
        price_band: PriceBand = None,
        reference_price: ReferencePrice = None,
        maker_fee: MakerFee = None,
        taker_fee: TakerFee = None,
        max_open_orders: MaxOpenOrders = None,
        force: Annotated[
            bool,
            typer.Option(
                "--force",
                help="Also a market that an operator manages, which will change it back.",
            ),
        ] = False,
        wait: WaitOption = _WAIT,
        json: JsonOption = False,
    ) -> None:
        """Change options of a market; what is not given stays. "none" clears a limit or the
        reference price."""
        output = Output(json=json)
        options = {
            "min_quantity": min_quantity,
            "max_quantity": max_quantity,
            "min_notional": min_notional,
            "self_trade_prevention": self_trade_prevention,
            "price_band_mode": price_band_mode,
            "price_band": price_band,
            "reference_price": reference_price,
            "maker_fee": maker_fee,
            "taker_fee": taker_fee,
            "max_open_orders": max_open_orders,
        }

        async def command() -> None:
            if all(value is None for value in options.values()):
                raise ConfigurationError("nothing to change: give at least one option")
            settings = load_settings()
            async with database(settings) as pool:
                record = await _find(pool, market)
                if record.managed_by == MANAGED_BY and not force:
                    raise CommandFailed(
                        f"{market} is managed by an operator: change its Market there, or use "
                        "--force for what lasts until the operator looks again",
                        ExitCode.REFUSED,
                        reason="managed_by_operator",
                    )
                definition = changed(record.definition, options)
                accepted = await Markets(pool).configure(
                    record, definition, backlog_limit=settings.backlog_limit
                )
                _show_outcome(
                    output,
                    market,
                    await outcome(pool, record, accepted.first, seconds=wait),
                    {"definition": msgspec.to_builtins(definition)},
                    "configured",
                )

        run(output, command)

    @markets.command("list")
    def list_markets(json: JsonOption = False) -> None:
        """Every market: its state, how far it is, and who leads it."""
        output = Output(json=json)

        async def command() -> None:
            settings = load_settings()
            async with database(settings) as pool:
                records = {record.market_id: record for record in await Markets(pool).list()}
                heads = await Markets(pool).heads()
            holders = await _holders(settings, heads)
            found = [
                _market_data(records[head.market_id], head, holders.get(head.market_id))
                for head in heads
                if head.market_id in records
            ]
            columns = ("market", "state", ">accepted", ">applied", ">lag", ">epoch", "leader")
            output.result(
                found,
                table(
                    (*columns, ">last price"),
                    (
                        [row[name.lstrip(">")] for name in columns] + [row["last_price"]]
                        for row in found
                    ),
                ),
            )

        run(output, command)


def _register_mirror(markets: typer.Typer) -> None:
    @markets.command("refresh-mirror")
    def refresh_mirror(market: MarketArgument, json: JsonOption = False) -> None:
        """Have the market's matcher write its book to Redis anew, within about a second."""
        output = Output(json=json)

        async def command() -> None:
            settings = load_settings()
            async with database(settings) as pool:
                record = await _find(pool, market)
            async with _leadership(settings) as leadership:
                await leadership.request_cache_refresh(record.market_id)
            output.result(
                {"market": market, "status": "requested"},
                f"{market}: its matcher will write the mirror anew",
            )

        run(output, command)


def _register_states(markets: typer.Typer) -> None:
    @markets.command("halt")
    def halt_market(
        market: MarketArgument,
        state: Annotated[
            Literal["halted", "cancel_only", "closed"], typer.Option(help="How far to halt it.")
        ] = "halted",
        wait: WaitOption = _WAIT,
        json: JsonOption = False,
    ) -> None:
        """Stop matching: halted takes cancels only, cancel_only reductions too, closed nothing."""
        _set_state(Output(json=json), market, TradingState[state.upper()], wait)

    @markets.command("resume")
    def resume_market(
        market: MarketArgument,
        state: Annotated[
            Literal["running", "auction"],
            typer.Option(help="auction gathers orders until the next resume, which uncrosses."),
        ] = "running",
        wait: WaitOption = _WAIT,
        json: JsonOption = False,
    ) -> None:
        """Let a market match again. Refused when its book is crossed: resume into an auction."""
        _set_state(Output(json=json), market, TradingState[state.upper()], wait)


def _set_state(output: Output, market: str, state: TradingState, wait: float) -> None:
    async def command() -> None:
        settings = load_settings()
        async with database(settings) as pool:
            record = await _find(pool, market)
            accepted = await enter_state(pool, record, state, backlog_limit=settings.backlog_limit)
            name = state.name.lower()
            _show_outcome(
                output,
                market,
                await outcome(pool, record, accepted.last, seconds=wait),
                {"state": name},
                name,
            )

    run(output, command)


async def _find(pool: asyncpg.Pool, market: str) -> MarketRecord:
    record = await Markets(pool).get(market)
    if record is None:
        raise UnknownMarket(f"there is no market {market}: see `gomatch markets list`")
    return record


async def _holders(settings: Settings, heads: list[MarketHead]) -> dict[int, LeaseHolder]:
    async with _leadership(settings) as leases:
        found = {head.market_id: await leases.holder(head.market_id) for head in heads}
    return {market_id: holder for market_id, holder in found.items() if holder is not None}


@asynccontextmanager
async def _leadership(settings: Settings) -> AsyncIterator[Leadership]:
    leases = Leadership(settings.postgres, timeout=settings.database_timeout)
    try:
        yield leases
    finally:
        await leases.close()


def _market_data(
    record: MarketRecord, head: MarketHead, holder: LeaseHolder | None
) -> dict[str, object]:
    leads = holder is not None and holder.expires_in > 0
    return {
        "market": head.symbol,
        "state": head.state.name.lower(),
        "accepted": head.accepted,
        "applied": head.applied,
        "lag": head.accepted - head.applied,
        "sequence": head.sequence,
        "epoch": head.epoch,
        "leader": holder.holder if holder is not None and leads else None,
        "last_price": record.definition.price_text(head.last_price) if head.last_price else None,
        "definition": msgspec.to_builtins(record.definition),
        "managed_by": record.managed_by,
    }


def _show_definition(output: Output, definition: MarketDefinition) -> None:
    shown = {"market": definition.symbol, **msgspec.to_builtins(definition)}
    output.result(
        shown, fields((name, value) for name, value in shown.items() if value is not None)
    )


def _show_outcome(
    output: Output, market: str, done: Outcome, data: dict[str, object], word: str
) -> None:
    """Raises CommandFailed when the matcher refused."""
    if done.status == "rejected":
        raise CommandFailed(
            f"{market} refused (command {done.command}): {done.reason}",
            ExitCode.REFUSED,
            reason=done.reason or "rejected",
        )
    pending = done.status == "pending"
    output.result(
        {"market": market, "command": done.command, "status": done.status, **data},
        f"{market}: {word}"
        + (f" as soon as its matcher comes to command {done.command}" if pending else ""),
    )
