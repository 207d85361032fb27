"""`gomatch orders`."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.integration.cli.conftest import Venue, run, wait_for

MARKET = "ORD-USDT"


@pytest.fixture(scope="module")
def bearer(venue: Venue) -> str:
    """A user of this module's own, and its market."""
    venue.market(MARKET, "0.1")
    token: str = venue.run("keys", "create", "--user", "trader", "--json").json()["token"]
    return token


def test_an_order_from_entry_to_cancel(venue: Venue, bearer: str) -> None:
    def orders(*arguments: str) -> Any:
        return venue.run("orders", *arguments, "--token", bearer, "--json").json()

    place = ("place", MARKET, "buy", "2", "--price", "1000", "--client-order-id", "cli-1")
    placed = orders(*place)
    assert (placed["outcome"], placed["order"]["status"]) == ("applied", "open")
    number = placed["order"]["id"]
    assert orders(*place)["order"]["id"] == number
    assert orders("get", "client:cli-1")["id"] == number
    amended = orders("amend", number, "--quantity", "1.5", "--request-id", "am-1")
    assert amended["order"]["remaining"] == "1.5"
    again = orders("amend", number, "--quantity", "1.5", "--request-id", "am-1")
    assert again["command"] == amended["command"]
    stop = orders("place", MARKET, "sell", "1", "--stop-price", "900", "--no-wait")
    assert stop["status"] == "accepted"
    wait_for(lambda: orders("get", stop["id"])["status"] == "waiting")
    assert orders("get", stop["id"])["type"] == "stop"
    listed = orders("list", "--market", MARKET, "--status", "open", "--status", "waiting")
    assert [order["id"] for order in listed] == [stop["id"], number]
    assert [order["id"] for order in orders("list", "--limit", "1")] == [stop["id"]]
    cancelled = orders("cancel", number, "--request-id", "c-1")
    assert (cancelled["request_id"], cancelled["order"]["status"]) == ("c-1", "cancelled")
    done = orders("cancel-all", MARKET, "--request-id", "all-1")
    assert (done["status"], done["cancelled"]) == ("applied", 1)
    orders(*place[:-1], "cli-2")
    assert orders("cancel-all", MARKET, "--request-id", "all-1")["command"] == done["command"]
    assert orders("get", "client:cli-2")["status"] == "open"
    assert orders("cancel-all", MARKET)["cancelled"] == 1


def test_people_read_a_table(venue: Venue, bearer: str) -> None:
    placed = venue.run("orders", "place", MARKET, "buy", "2", "--price", "999", "--token", bearer)
    shown = dict(line.split(maxsplit=1) for line in placed.stdout.splitlines())
    assert shown["status"].strip() == "open"
    listed = venue.run("orders", "list", "--token", bearer, "--status", "open").stdout
    assert [word for line in listed.splitlines() for word in line.split()][9:15] == [
        shown["id"].strip(),
        "buy",
        "limit",
        "999",
        "2",
        "0",
    ]
    done = venue.run("orders", "cancel-all", MARKET, "--token", bearer)
    assert (done.code, done.stdout) == (0, f"{MARKET}: cancelled 1\n")


def test_what_the_venue_refuses_ends_with_1(venue: Venue, bearer: str) -> None:
    for arguments, word in (
        (("get", f"{MARKET}-999999"), "unknown_order"),
        (("get", "../../healthz"), "not_found"),
        (("cancel", "nonsense"), "unknown_order"),
        (("place", "NO-SUCH", "buy", "1", "--price", "1"), "unknown_market"),
        (("place", MARKET, "buy", "1e3", "--price", "1"), "quantity: "),
        (("place", MARKET, "buy", "1", "--price", "1.001"), "off_tick"),
        (("place", MARKET, "buy", "1", "--price", "1", "--expires-at", "x"), "expires_at"),
        (("list", "--market", "NO-SUCH"), "unknown_market"),
        (("cancel-all", "NO-SUCH"), "unknown_market"),
        (("cancel-all", MARKET, "--request-id", "no id"), "invalid_client_id"),
    ):
        venue.run("orders", *arguments, "--token", bearer).refused(1, word)
    fok = ("place", MARKET, "buy", "1", "--price", "1", "--time-in-force", "fok")
    venue.run("orders", *fok, "--token", bearer).refused(1, "rejected: unfillable")
    venue.run("orders", "list", "--token", "").refused(1, "unauthenticated", "GOMATCH_TOKEN")
    venue.run("orders", "list", "--token", "gk_x.y").refused(1, "unauthenticated")


def test_a_rejection_is_printed_as_json_too(venue: Venue, bearer: str) -> None:
    fok = ("place", MARKET, "buy", "1", "--price", "1", "--time-in-force", "fok", "--json")
    done = venue.run("orders", *fok, "--token", bearer)
    assert done.code == 1
    assert '"reason": "unfillable"' in done.stdout
    assert '"error":"unfillable"' in done.stderr


def test_wrong_arguments_are_usage_errors(venue: Venue) -> None:
    for arguments, word in (
        (("place", MARKET, "up", "1"), "up"),
        (("place", MARKET, "buy"), "quantity"),
        (("place", MARKET, "buy", "1", "--time-in-force", "ever"), "--time-in-force"),
        (("amend", f"{MARKET}-1"), "at least one option"),
        (("list", "--status", "lost"), "--status"),
        (("list", "--limit", "0"), "--limit"),
        (("list", "--url", "ftp://x"), "--url"),
        (("list", "--url", "http://"), "--url"),
        (("burn",), "burn"),
    ):
        venue.run("orders", *arguments).refused(2, word)


class Elsewhere(BaseHTTPRequestHandler):
    """A server that is no gomatch API."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing on standard error."""


def test_servers_that_are_not_there_or_something_else_end_with_3() -> None:
    run("orders", "list", "--url", "http://127.0.0.1:1").refused(3, "http://127.0.0.1:1", "--url")
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            for program in ("orders list", "watch A-B --once"):
                done = run(*program.split(), "--url", url)
                done.refused(3, url)
            run("orders", "get", "A-B-1", "--url", url, "--json").refused(3, '"error":"not_an_api"')
        finally:
            server.shutdown()
            serving.join()
