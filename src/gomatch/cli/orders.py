"""`gomatch orders`: order entry and one's orders, through the HTTP API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from gomatch.cli.http import DEFAULT_URL, ApiClient, TokenOption, UrlOption
from gomatch.cli.output import CommandFailed, ExitCode, JsonOption, Output, fields, table
from gomatch.cli.session import run
from gomatch.errors import ConfigurationError
from gomatch.messages.market import SelfTradeName


class Status(StrEnum):
    """As the API writes them. An enum, as typer has no lists of literals."""

    PENDING = "pending"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    WAITING = "waiting"


OrderArgument = Annotated[
    str, typer.Argument(metavar="ORDER", help="Its id, or client:<client order id>.")
]
WaitOption = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait", help="Answer after matching, or as soon as it is accepted for good."
    ),
]
RequestIdOption = Annotated[
    str | None,
    typer.Option(help="Your name for this request; sending it twice is then safe."),
]
_PAGE = 500
_COLUMNS = (
    "id",
    "side",
    "type",
    ">price",
    ">quantity",
    ">filled",
    "status",
    "reason",
    "accepted_at",
)


def register(app: typer.Typer) -> None:
    orders = typer.Typer(help="One's orders, through the API.", no_args_is_help=True)
    app.add_typer(orders, name="orders")
    _register_reading(orders)
    _register_entry(orders)
    _register_cancelling(orders)


def _register_reading(orders: typer.Typer) -> None:
    @orders.command("list")
    def list_orders(
        market: Annotated[str | None, typer.Option(help="Only of this market.")] = None,
        status: Annotated[
            list[Status] | None, typer.Option(help="Only these; may be repeated.")
        ] = None,
        limit: Annotated[int, typer.Option(min=1, help="Most orders.")] = 50,
        url: UrlOption = DEFAULT_URL,
        token: TokenOption = "",
        json: JsonOption = False,
    ) -> None:
        """Orders, newest first."""
        output = Output(json=json)

        async def command() -> None:
            found: list[dict[str, Any]] = []
            cursor: str | None = None
            async with ApiClient(url, token) as api:
                while len(found) < limit:
                    query = {"market": market, "status": status, "cursor": cursor}
                    page = await api.call(
                        "GET",
                        "/v1/orders",
                        query={
                            "limit": min(limit - len(found), _PAGE),
                            **{name: value for name, value in query.items() if value},
                        },
                    )
                    found += page["orders"]
                    cursor = page["next_cursor"]
                    if cursor is None:
                        break
            del found[limit:]
            rows = ([order[name.lstrip(">")] for name in _COLUMNS] for order in found)
            output.result(found, table(_COLUMNS, rows))

        run(output, command)

    @orders.command("get")
    def get_order(
        order: OrderArgument,
        url: UrlOption = DEFAULT_URL,
        token: TokenOption = "",
        json: JsonOption = False,
    ) -> None:
        """One order as it stands."""
        output = Output(json=json)

        async def command() -> None:
            async with ApiClient(url, token) as api:
                found = await api.call("GET", _path(order))
            output.result(found, _details(found))

        run(output, command)


def _register_entry(orders: typer.Typer) -> None:
    @orders.command("place")
    def place_order(
        market: Annotated[str, typer.Argument(help="For example BTC-USDT.")],
        side: Annotated[Literal["buy", "sell"], typer.Argument()],
        quantity: Annotated[str, typer.Argument(help="In the base asset.")],
        price: Annotated[str | None, typer.Option(help="Limit price.")] = None,
        stop_price: Annotated[str | None, typer.Option(help="Makes it a stop.")] = None,
        time_in_force: Annotated[
            Literal["gtc", "ioc", "fok", "gtd"] | None, typer.Option(help="Default: gtc.")
        ] = None,
        expires_at: Annotated[
            str | None, typer.Option(help="RFC 3339, for gtd: 2027-01-01T00:00:00Z.")
        ] = None,
        display: Annotated[
            str | None, typer.Option(help="An iceberg that shows this much at a time.")
        ] = None,
        post_only: Annotated[
            bool, typer.Option("--post-only", help="Reject rather than take.")
        ] = False,
        self_trade_prevention: Annotated[
            SelfTradeName | None, typer.Option(help="Default: the market's.")
        ] = None,
        client_order_id: Annotated[
            str | None, typer.Option(help="Your name for it; sending it twice is then safe.")
        ] = None,
        wait: WaitOption = True,
        url: UrlOption = DEFAULT_URL,
        token: TokenOption = "",
        json: JsonOption = False,
    ) -> None:
        """Place an order: with --price a limit order, else a market order; --stop-price makes
        either a stop."""
        output = Output(json=json)
        kinds = {
            (True, False): "limit",
            (False, False): "market",
            (True, True): "stop_limit",
            (False, True): "stop",
        }
        body = {
            "market": market,
            "side": side,
            "type": kinds[price is not None, stop_price is not None],
            "quantity": quantity,
            "price": price,
            "stop_price": stop_price,
            "time_in_force": time_in_force,
            "expires_at": expires_at,
            "display_quantity": display,
            "post_only": post_only or None,
            "self_trade_prevention": self_trade_prevention,
            "client_order_id": client_order_id,
        }

        async def command() -> None:
            async with ApiClient(url, token) as api:
                _show(
                    output,
                    await api.call("POST", "/v1/orders", body=_given(body), query=_query(wait)),
                )

        run(output, command)

    @orders.command("amend")
    def amend_order(
        order: OrderArgument,
        quantity: Annotated[
            str | None, typer.Option(help="New total, what is filled included.")
        ] = None,
        price: Annotated[str | None, typer.Option()] = None,
        stop_price: Annotated[str | None, typer.Option()] = None,
        display: Annotated[str | None, typer.Option(help="New slice of an iceberg.")] = None,
        expires_at: Annotated[str | None, typer.Option(help="RFC 3339.")] = None,
        request_id: RequestIdOption = None,
        wait: WaitOption = True,
        url: UrlOption = DEFAULT_URL,
        token: TokenOption = "",
        json: JsonOption = False,
    ) -> None:
        """Change an open order. Only a smaller quantity keeps its place in the book."""
        output = Output(json=json)
        body = _given(
            {
                "quantity": quantity,
                "price": price,
                "stop_price": stop_price,
                "display_quantity": display,
                "expires_at": expires_at,
            }
        )

        async def command() -> None:
            if not body:
                raise ConfigurationError("nothing to change: give at least one option")
            sent = body | _given({"request_id": request_id})
            async with ApiClient(url, token) as api:
                _show(output, await api.call("PATCH", _path(order), body=sent, query=_query(wait)))

        run(output, command)


def _register_cancelling(orders: typer.Typer) -> None:
    @orders.command("cancel")
    def cancel_order(
        order: OrderArgument,
        request_id: RequestIdOption = None,
        wait: WaitOption = True,
        url: UrlOption = DEFAULT_URL,
        token: TokenOption = "",
        json: JsonOption = False,
    ) -> None:
        """Cancel one order."""
        output = Output(json=json)

        async def command() -> None:
            query = _query(wait) | _given({"request_id": request_id})
            async with ApiClient(url, token) as api:
                _show(output, await api.call("DELETE", _path(order), query=query))

        run(output, command)

    @orders.command("cancel-all")
    def cancel_all_orders(
        market: Annotated[str, typer.Argument(help="For example BTC-USDT.")],
        request_id: RequestIdOption = None,
        wait: WaitOption = True,
        url: UrlOption = DEFAULT_URL,
        token: TokenOption = "",
        json: JsonOption = False,
    ) -> None:
        """Cancel all of one's open orders in a market, waiting stops too."""
        output = Output(json=json)

        async def command() -> None:
            query = {"market": market, **_query(wait), **_given({"request_id": request_id})}
            async with ApiClient(url, token) as api:
                done = await api.call("DELETE", "/v1/orders", query=query)
            if done["status"] == "rejected":
                raise _rejected(done["reason"])
            count = done.get("cancelled")
            output.result(
                done,
                f"{market}: cancelled {count}" if count is not None else f"{market}: accepted",
            )

        run(output, command)


def _show(output: Output, answer: dict[str, Any]) -> None:
    """An acknowledgement, or a result with the order. Raises CommandFailed on a rejection."""
    order = answer.get("order")
    if order is None:
        output.result(answer, f"{answer['id']} {answer['status']}")
        return
    rejected = answer["outcome"] == "rejected"
    if output.json or not rejected:
        output.result(answer, _details(order))
    if rejected:
        raise _rejected(answer["reason"])


def _rejected(reason: str | None) -> CommandFailed:
    return CommandFailed(f"rejected: {reason}", ExitCode.REFUSED, reason=reason or "rejected")


def _details(order: dict[str, Any]) -> Any:
    return fields((name, value) for name, value in order.items() if value not in (None, False))


def _path(order: str) -> str:
    return f"/v1/orders/{quote(order, safe=':')}"


def _query(wait: bool) -> dict[str, str]:
    return {"wait": "result"} if wait else {}


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
