"""`gomatch watch`."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.integration.cli.conftest import Venue, command, run, wait_for

MARKET = "WATCH-USDT"
PRICE = "12345.67"


@pytest.fixture(scope="module", autouse=True)
def resting(venue: Venue) -> Iterator[None]:
    """An order at a price that nothing else shows."""
    venue.market(MARKET, "0.01")
    bought = venue.run("orders", "place", MARKET, "buy", "0.5", "--price", PRICE, "--json")
    order = bought.json()["order"]["id"]
    yield
    assert venue.run("orders", "cancel", order).code == 0


def test_one_picture(venue: Venue) -> None:
    done = venue.run("watch", MARKET, "--once")
    assert done.code == 0
    assert done.stdout.startswith(f"{MARKET}  running")
    assert f"0.5  {PRICE}" in done.stdout
    shown = venue.run("watch", MARKET, "--once", "--json", "--levels", "3").json()
    assert [PRICE, "0.5"] in shown["bids"]
    assert (shown["market"], shown["state"]) == (MARKET, "running")
    assert len(shown["bids"]) <= 3


def test_a_bounded_time(venue: Venue) -> None:
    assert shows(venue, lambda text: f"0.5  {PRICE}" in text)

    def is_whole(text: str) -> bool:
        told = {json.loads(line)["type"] for line in text.splitlines()}
        return told >= {"subscribed", "depth_snapshot", "ticker"}

    assert shows(venue, is_whole, "--json")


def shows(venue: Venue, enough: Callable[[str], bool], *options: str) -> bool:
    """Within 4 s, or some more on a busy machine."""
    for seconds in ("4", "30"):
        done = venue.run("watch", MARKET, "--duration", seconds, *options)
        assert done.code == 0
        if enough(done.stdout):
            return True
    return False


def test_live_on_a_terminal_until_ctrl_c(venue: Venue) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        command("watch", MARKET),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=venue.folder,
        env={"PATH": os.environ["PATH"], "TERM": "xterm"},
    )
    os.close(theirs)
    screen = bytearray()

    def shows(text: str) -> bool:
        with suppress(BlockingIOError):
            screen.extend(os.read(ours, 65_536))
        assert process.poll() is None, screen
        return text.encode() in screen

    try:
        wait_for(lambda: shows(PRICE))
        placed = venue.run("orders", "place", MARKET, "buy", "7.25", "--price", "12000", "--json")
        wait_for(lambda: shows("7.25"))
        assert venue.run("orders", "cancel", placed.json()["order"]["id"]).code == 0
        process.send_signal(signal.SIGINT)

        def ended() -> bool:
            # Read on meanwhile: a full terminal would keep it from ending.
            with suppress(OSError):
                screen.extend(os.read(ours, 65_536))
            return process.poll() is not None

        wait_for(ended)
        assert process.returncode == 130
        with suppress(OSError):  # which ends what a terminal says once nobody has it open
            while said := os.read(ours, 65_536):
                screen.extend(said)
        assert b"Traceback" not in screen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_what_cannot_be_watched(venue: Venue) -> None:
    venue.run("watch", "NO-SUCH", "--once").refused(1, "unknown_market")
    venue.run("watch", "NO-SUCH", "--duration", "9", "--json").refused(1, "unknown_market")
    venue.run("watch", MARKET, "--levels", "0").refused(2, "--levels")
    venue.run("watch", MARKET, "--duration", "0").refused(2, "--duration")
    run("watch", MARKET, "--once", "--url", "http://127.0.0.1:1").refused(3, "127.0.0.1:1")
