"""`gomatch markets`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from gomatch.cache import BookMirror
from tests.integration.cli.conftest import Venue, wait_for

T = TypeVar("T")
SOL = ("SOL-USDT", "--tick", "0.01", "--lot", "0.1")
PATIENT = ("--wait", "60")
"""A busy machine may take longer than a person would wait."""


def find(venue: Venue, symbol: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = venue.run("markets", "list", "--json").json()
    (row,) = [row for row in rows if row["market"] == symbol]
    return row


def test_a_market_from_its_making_to_its_closing(venue: Venue) -> None:
    made = venue.run("markets", "create", *SOL, "--max-quantity", "50", "--json").json()
    assert (made["market"], made["tick_size"], made["max_quantity"]) == ("SOL-USDT", "0.01", "50")
    wait_for(lambda: find(venue, "SOL-USDT")["leader"] is not None)
    wait_for(lambda: find(venue, "SOL-USDT")["lag"] == 0)
    with venue.client() as demo:

        def place(quantity: str) -> dict[str, Any]:
            order = {"market": "SOL-USDT", "side": "buy", "type": "limit", "price": "9"}
            sent = {**order, "quantity": quantity}
            answer: dict[str, Any] = demo.post("/v1/orders?wait=result", json=sent).json()
            return answer

        wait_for(lambda: place("1").get("outcome") == "applied")
        assert place("51")["code"] == "quantity_too_large"
        changed = venue.run(
            *("markets", "configure", "SOL-USDT", "--max-quantity", "none", "--min-quantity", "2"),
            *PATIENT,
        )
        assert (changed.code, changed.stdout) == (0, "SOL-USDT: configured\n")
        wait_for(lambda: place("51").get("outcome") == "applied")
        assert place("1")["code"] == "quantity_too_small"

        halted = venue.run("markets", "halt", "SOL-USDT", *PATIENT, "--json").json()
        assert (halted["status"], halted["state"]) == ("applied", "halted")
        assert place("2")["reason"] == "market_halted"
        assert find(venue, "SOL-USDT")["state"] == "halted"
        halt = ("markets", "halt", "SOL-USDT", *PATIENT)
        resume = ("markets", "resume", "SOL-USDT", *PATIENT)
        assert venue.run(*halt, "--state", "cancel_only").code == 0
        assert place("2")["reason"] == "market_cancel_only"
        resumed = venue.run(*resume)
        assert (resumed.code, resumed.stdout) == (0, "SOL-USDT: running\n")
        assert place("2")["outcome"] == "applied"

        assert venue.run(*resume, "--state", "auction").code == 0
        sell = {"market": "SOL-USDT", "side": "sell", "type": "limit", "price": "8"}
        demo.post("/v1/orders?wait=result", json={**sell, "quantity": "2"})
        assert venue.run(*halt).code == 0
        # Only an auction may uncross it.
        venue.run(*resume).refused(1, "book_crossed")
        venue.run(*resume, "--json").refused(1, '"error":"book_crossed"')
        assert venue.run(*resume, "--state", "auction").code == 0
        assert venue.run(*resume).code == 0
    assert find(venue, "SOL-USDT")["last_price"] is not None
    listed = venue.run("markets", "list").stdout
    assert {"BTC-USDT", "ETH-USDT", "SOL-USDT"} <= set(listed.split())
    assert venue.run(*halt, "--state", "closed").code == 0


def test_making_a_market_again_changes_nothing(venue: Venue) -> None:
    first = find(venue, "BTC-USDT")
    again = venue.run(
        "markets", "create", "BTC-USDT", "--tick", "0.01", "--lot", "0.00001", "--min-quantity", "1"
    )
    assert again.code == 0
    assert "use `gomatch markets configure`" in again.stderr
    other = venue.run("markets", "create", "BTC-USDT", "--tick", "0.02", "--lot", "0.00001")
    other.refused(1, "tick_size", "cannot be changed")
    assert find(venue, "BTC-USDT")["definition"] == first["definition"]


def test_what_cannot_be_a_market_is_a_usage_error(venue: Venue) -> None:
    for arguments, word in (
        (("create", "SOL", "--tick", "1", "--lot", "1"), "BASE-QUOTE"),
        (("create", "sol-usdt", "--tick", "1", "--lot", "1"), "base"),
        (("create", "A-B", "--tick", "NaN", "--lot", "1"), "tick_size"),
        (("create", "A-B", "--tick", "1", "--lot", "0"), "lot_size"),
        (("create", "A-B", "--tick", "1"), "--lot"),
        (("create", "A-B", "--tick", "1", "--lot", "1", "--maker-fee", "2"), "fee"),
        (("configure", "BTC-USDT"), "at least one option"),
        (("configure", "BTC-USDT", "--min-quantity", "-1"), "min_quantity"),
        (("configure", "BTC-USDT", "--price-band-mode", "maybe"), "--price-band-mode"),
        (("halt", "BTC-USDT", "--state", "running"), "--state"),
        (("resume", "BTC-USDT", "--wait", "soon"), "--wait"),
    ):
        venue.run("markets", *arguments).refused(2, word)
    for verb in (("halt",), ("resume",), ("refresh-mirror",), ("configure", "--taker-fee", "0")):
        done = venue.run("markets", verb[0], "NO-SUCH", *verb[1:])
        done.refused(1, "there is no market NO-SUCH: see `gomatch markets list`")


def test_a_mirror_that_is_lost_is_written_anew_when_asked_for(venue: Venue) -> None:
    market = venue.market("MIRROR-USDT")
    with venue.client() as demo:
        order = {"market": market, "side": "buy", "type": "limit", "price": "9", "quantity": "1"}
        demo.post("/v1/orders?wait=result", json=order).raise_for_status()

    async def with_mirror(do: Callable[[BookMirror], Awaitable[T]]) -> T:
        mirror = BookMirror(venue.variables["GOMATCH_REDIS_URL"], market, timeout=30)
        try:
            return await do(mirror)
        finally:
            await mirror.close()

    def holds_the_order() -> bool:
        held = asyncio.run(with_mirror(BookMirror.load))
        return held is not None and len(held.orders) == 1

    wait_for(holds_the_order)
    asyncio.run(with_mirror(BookMirror.delete))
    assert not holds_the_order()
    asked = venue.run("markets", "refresh-mirror", market, "--json").json()
    assert asked == {"market": market, "status": "requested"}
    wait_for(holds_the_order)
