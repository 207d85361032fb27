"""Commands that look at what is stored: audit, replay, migrate, settings."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import asyncpg
import pytest

from gomatch.cli.servers import PostgresServer
from gomatch.messages.market import MarketDefinition
from gomatch.store import Markets, connect_pool
from gomatch.store.migrations import packaged
from tests.fixtures.servers import run_in_own_loop
from tests.integration.cli.conftest import Venue, command, run

DOCS = Path(__file__).parents[3] / "docs"


def test_audit_of_a_running_venue_is_clean(venue: Venue) -> None:
    assert venue.run("orders", "place", "BTC-USDT", "buy", "1", "--price", "10").code == 0
    done = venue.run("audit")
    assert done.code == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "clean"
    report = venue.run("audit", "--market", "BTC-USDT", "--json").json()
    assert (report["clean"], report["findings"], report["unchecked"]) == (True, [], [])
    (market,) = report["markets"]
    assert market == "BTC-USDT"
    assert report["markets"][market]["commands"] > 0
    without = venue.run("audit", "--market", "BTC-USDT", "--without-redis", "--json").json()
    assert without["markets"]["BTC-USDT"]["mirror_sequence"] is None


@pytest.fixture
def damaged(database_url: str) -> str:
    """A database with a market and a client id that points at a command which never was."""

    async def damage() -> None:
        pool = await connect_pool(database_url, size=1, timeout=10, application="tests")
        await Markets(pool).create(
            MarketDefinition(base="BTC", quote="USDT", tick_size="1", lot_size="1")
        )
        await pool.close()
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "INSERT INTO client_ids (user_id, kind, client_id, market_id, number, accepted_at,"
            " digest) SELECT 1, 1, 'nobody', market_id, 9, 0, '\\x00' FROM markets"
        )
        await connection.close()

    run_in_own_loop(damage())
    return database_url


def test_audit_says_what_differs_and_ends_with_1(damaged: str) -> None:
    done = run("audit", "--without-redis", GOMATCH_POSTGRES_URL=damaged)
    assert done.code == 1
    assert "BTC-USDT  client_id  'nobody' of user 1 points at command 9" in done.stdout
    assert done.stdout.splitlines()[-1] == "NOT clean"
    assert "1 difference(s) found" in done.stderr
    done = run("audit", "--without-redis", "--json", GOMATCH_POSTGRES_URL=damaged)
    assert done.code == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["market"], finding["kind"]) == ("BTC-USDT", "client_id")


def test_audit_says_what_it_could_not_check(damaged: str) -> None:
    gone = {"GOMATCH_POSTGRES_URL": damaged, "GOMATCH_REDIS_URL": "redis://127.0.0.1:1/0"}
    done = run("audit", **gone)
    assert done.code == 1
    assert "could not be checked: BTC-USDT: the Redis mirror cannot be read" in done.stdout
    run("audit", "--market", "NO-SUCH", GOMATCH_POSTGRES_URL=damaged).refused(1, "NO-SUCH")


def test_replay_prints_the_journal(venue: Venue) -> None:
    placed = venue.run("orders", "place", "BTC-USDT", "buy", "1", "--price", "11", "--json").json()
    number = int(placed["order"]["id"].rpartition("-")[2])
    events = [json.loads(line) for line in venue.run("replay", "BTC-USDT").stdout.splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["event"] == "Configured"
    (accepted,) = [e for e in events if e["event"] == "Accepted" and e["number"] == number]
    after = str(accepted["sequence"] - 1)
    part = venue.run("replay", "BTC-USDT", "--after", after, "--limit", "2").stdout.splitlines()
    assert [json.loads(line) for line in part] == events[int(after) : int(after) + 2]
    assert events[int(after) + 1]["event"] == "Rested"
    done = venue.run("replay", "BTC-USDT", "--after", str(10**9))
    assert (done.code, done.stdout) == (0, "")
    venue.run("replay", "NO-SUCH").refused(1, "unknown_market")
    venue.run("replay", "BTC-USDT", "--after", "-1").refused(2, "--after")


def test_two_migrations_at_once_share_the_work(empty_database_url: str) -> None:
    processes = [
        subprocess.Popen(
            command("migrate", "--json"),
            env={"PATH": os.environ["PATH"], "GOMATCH_POSTGRES_URL": empty_database_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    applied: list[str] = []
    for process in processes:
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")
        applied += json.loads(stdout)["applied"]
    assert sorted(applied) == [f"{each.version:04d}_{each.name}" for each in packaged()]
    done = run("migrate", GOMATCH_POSTGRES_URL=empty_database_url)
    assert (done.code, done.stdout) == (0, "nothing to do\n")


def test_a_migration_waits_for_a_database_that_is_not_up_yet(
    empty_database_url: str, postgres_server: PostgresServer
) -> None:
    postgres_server.stop_now()
    process = subprocess.Popen(
        command("migrate", "--wait", "60"),
        env={"PATH": os.environ["PATH"], "GOMATCH_POSTGRES_URL": empty_database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "attempt 1: PostgreSQL cannot be reached" in process.stderr.readline()
    postgres_server.start_now()
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"applied {packaged()[0].label}" in stdout


def test_a_database_without_schema_is_told_what_to_do(empty_database_url: str) -> None:
    for arguments in (("keys", "list"), ("markets", "list"), ("replay", "BTC-USDT"), ("audit",)):
        run(*arguments, GOMATCH_POSTGRES_URL=empty_database_url).refused(1, "run `gomatch migrate`")


def test_settings_are_the_page_of_the_documentation() -> None:
    done = run("settings")
    assert done.stdout == (DOCS / "configuration.md").read_text()
    listed = run("settings", "--json").json()
    assert all(set(row) == {"variable", "default", "values", "meaning"} for row in listed)
    assert all(row["meaning"] and f"`{row['variable']}`" in done.stdout for row in listed)


ON_THE_DATABASE = (
    ("migrate",),
    ("migrate", "--wait", "0.2"),
    ("keys", "list"),
    ("keys", "create", "--user", "a"),
    ("keys", "revoke", "a"),
    ("markets", "list"),
    ("markets", "create", "A-B", "--tick", "1", "--lot", "1"),
    ("markets", "configure", "A-B", "--taker-fee", "0"),
    ("markets", "halt", "A-B"),
    ("markets", "resume", "A-B"),
    ("audit",),
    ("replay", "A-B"),
    ("load",),
)


@pytest.mark.parametrize("arguments", ON_THE_DATABASE, ids=" ".join)
def test_a_database_that_is_not_there_ends_with_3(arguments: tuple[str, ...], venue: Venue) -> None:
    variables = {"GOMATCH_URL": venue.url, "GOMATCH_SERVER_KEY": "ab" * 32}
    gone = {**variables, "GOMATCH_POSTGRES_URL": "postgresql://127.0.0.1:1/gomatch"}
    run(*arguments, **gone).refused(3, "PostgreSQL cannot be reached", "GOMATCH_POSTGRES_URL")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GOMATCH_POSTGRES_URL", "nonsense"),
        ("GOMATCH_POSTGRES_URL", "mysql://secret@127.0.0.1/x"),
        ("GOMATCH_POSTGRES_URL", "postgresql://a:secret@127.0.0.1:99999/x"),
        ("GOMATCH_REDIS_URL", "127.0.0.1:6379"),
        ("GOMATCH_AMQP_URL", "amqp://a:secret@127.0.0.1:zero/"),
        ("GOMATCH_API_PORT", "http"),
        ("GOMATCH_LEASE_SECONDS", "-1"),
        ("GOMATCH_TRANSPORT", "pigeon"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_name(variable: str, value: str) -> None:
    done = run("keys", "list", **{variable: value})
    done.refused(2, variable)
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "word"),
    [
        (("api",), {}, "GOMATCH_SERVER_KEY must have at least 32 bytes"),
        (("api",), {"GOMATCH_SERVER_KEY": "secret" * 12}, "GOMATCH_SERVER_KEY must be hexadecimal"),
        (("matcher",), {}, "GOMATCH_MARKET is not set"),
    ],
)
def test_programs_say_what_they_lack(
    arguments: tuple[str, ...], variables: dict[str, str], word: str
) -> None:
    done = subprocess.run(
        command(*arguments),
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
