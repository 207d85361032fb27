"""`gomatch load`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Venue, command, run, wait_for

RECORDING = Path(__file__).parents[3] / "examples" / "lobster-sample-message.csv"
FAST = ("--batch", "100", "--speed", "0")


@pytest.mark.parametrize("via", ["rest", "ws"])
def test_a_flow_of_several_users_is_taken_and_fills(venue: Venue, via: str) -> None:
    report = venue.run(
        *(
            "load",
            "--via",
            via,
            "--orders",
            "300",
            "--batch",
            "20",
            "--users",
            "2",
            "--window",
            "2",
        ),
        *("--client-ids", "--market", "ETH-USDT", "--json"),
        GOMATCH_TOKEN="",
    ).json()
    assert (report["orders"], report["acknowledged"], report["requests"]) == (300, 300, 15)
    assert (report["refused"], report["failed_requests"], report["stream_gaps"]) == ({}, {}, 0)
    assert report["acknowledgement"]["count"] == 15
    assert report["private_events"] > 300
    assert report["fill"]["count"] > 0
    for name in ("acknowledgement", "fill"):
        latency = report[name]
        assert 0 < latency["p50"] <= latency["p99"] <= latency["maximum"] * 1.02


@pytest.mark.parametrize("via", ["rest", "ws"])
def test_one_user_alone_and_every_running_market(venue: Venue, via: str) -> None:
    done = venue.run("load", "--via", via, "--orders", "120", "--rate", "2000")
    assert done.code == 0, done.stderr
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert lines["commands"].split()[1] == "120"
    assert lines["acknowledged"].split()[1] == "120"
    assert lines["refused"].split()[1] == "none"
    assert lines["latency, ms"].split()[2:] == [
        "count",
        "mean",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
    ]
    assert lines["to the acknowledgement"].split()[3] == "120"
    assert int(lines["to the fill on the stream"].split()[6]) > 0
    assert "120 commands" in done.stderr  # the progress


def test_it_ends_after_its_time(venue: Venue) -> None:
    report = venue.run("load", "--orders", "0", "--duration", "3", "--rate", "50", "--json").json()
    assert 0 < report["acknowledged"] == report["orders"] < 1_000


@pytest.mark.parametrize("via", ["rest", "ws"])
def test_a_recording_as_fast_as_it_goes(venue: Venue, via: str) -> None:
    market = venue.market(f"{via.upper()}-USD")
    replay = ("load", "--replay", str(RECORDING), *FAST, "--via", via, "--market", market)
    report = venue.run(*replay, "--json").json()
    assert report["acknowledged"] == report["orders"] == 2_999
    assert (report["refused"], report["skipped"]) == ({}, {"hidden_execution": 68})
    assert report["fill"]["count"] == 487
    trades = venue.run("watch", market, "--once", "--json").json()["trades"]
    assert trades[0]["price"].startswith("100.")


def test_a_recording_at_its_own_pace(venue: Venue, tmp_path: Path) -> None:
    recording = tmp_path / "message.csv"
    replay = ("load", "--replay", str(recording), "--market", venue.market("PACE-USD"), "--json")
    for end, speed in (("34200.6", "1"), ("34260.0", "100")):
        recording.write_text(
            "34200.0,1,1,10,1000000,1\n34200.2,1,2,10,1000100,-1\n"
            f"{end},4,2,10,1000100,-1\n{end},3,1,10,1000000,1\n"
        )
        report = venue.run(*replay, "--speed", speed).json()
        assert (report["acknowledged"], report["fill"]["count"]) == (4, 1)
        assert 0.6 <= report["seconds"] < 60


def test_what_is_refused_ends_with_1(venue: Venue, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.csv"
    damaged.write_text("34200.0,1,1,10,1000000,1\nnonsense\n")
    for arguments, words in (
        (("--market", "NO-SUCH"), ("no such market: NO-SUCH",)),
        (("--token", "gk_x.y"), ("HTTP 401", "is the token right?")),
        (("--replay", "/no/such/file", "--market", "ETH-USDT"), ("/no/such/file",)),
        (("--replay", str(damaged), "--market", "ETH-USDT"), ("line 2",)),
        (("--replay", str(RECORDING)), ("name it with --market",)),
    ):
        done = venue.run("load", *arguments, "--json")
        done.refused(1, *words)
    reader = venue.run("keys", "create", "--user", "r", "--scopes", "read", "--json").json()
    for via in ("rest", "ws"):
        done = venue.run(
            *("load", "--token", reader["token"], "--orders", "2", "--via", via, "--json"),
            *("--market", "ETH-USDT"),
        )
        assert done.code == 1
        assert '"scope_missing": 2' in done.stdout
        assert "nothing was acknowledged" in done.stderr
    trader = venue.run("keys", "create", "--user", "t", "--scopes", "trade", "--json").json()
    venue.run("load", "--token", trader["token"], "--json").refused(1, "scope_missing")


def test_wrong_arguments_and_servers_that_are_not_there(venue: Venue) -> None:
    for arguments, word in (
        (("--via", "pigeon"), "--via"),
        (("--orders", "-1"), "--orders"),
        (("--batch", "501"), "--batch"),
        (("--users", "0"), "--users"),
        (("--duration", "0"), "--duration"),
        (("--url", "ftp://x"), "--url"),
        (("--url", "https://127.0.0.1"), "http://"),
    ):
        venue.run("load", *arguments, "--json").refused(2, word)
    run("load").refused(2, "give --token, or GOMATCH_SERVER_KEY")
    gone: dict[str, Any] = {"GOMATCH_URL": "http://127.0.0.1:1"}
    run("load", "--token", "a.b", "--json", **gone).refused(3, "http://127.0.0.1:1", "--url")


def test_ctrl_c_ends_it(venue: Venue) -> None:
    with subprocess.Popen(
        command("load", "--orders", "0", "--rate", "20", "--market", "ETH-USDT"),
        cwd=venue.folder,
        env={"PATH": os.environ["PATH"], "GOMATCH_TOKEN": venue.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            before = accepted(venue)
            wait_for(lambda: accepted(venue) > before)
            process.send_signal(signal.SIGINT)
            stdout, said = process.communicate(timeout=60)
            assert (process.returncode, stdout) == (130, b"")
            assert b"Traceback" not in said
        finally:
            process.kill()


def accepted(venue: Venue) -> int:
    with venue.client() as demo:
        number: int = demo.get("/v1/markets/ETH-USDT").json()["accepted"]
        return number
