"""The matcher is killed with -9 at every point around a commit, with orders still coming."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tests.faults.verification import all_applied, verify
from tests.fixtures.following import applied_at_least, epoch_of, followed
from tests.fixtures.venue import Venue


# Redis is written and the queue acknowledged once for several commits, so those points are rarer.
@pytest.mark.parametrize(
    "point",
    ["matched:4", "before_commit:4", "committed:4", "streamed:4", "cached:2", "acked:1"],
)
async def test_a_matcher_killed_at_a_point_loses_and_doubles_nothing(
    point: str, database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with (
        Venue(database_url, redis_url, rabbitmq_url, tmp_path) as venue,
        followed(venue) as clients,
    ):
        matcher = venue.matchers[0]
        await matcher.stop()
        matcher.start(GOMATCH_TEST_KILL_AT=point, GOMATCH_MATCH_BATCH="20")
        sending = asyncio.gather(*(client.send(150, batch=5) for client in clients))
        await matcher.ended()
        matcher.start()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)


@pytest.mark.parametrize("how", ["kill", "cut"])
async def test_a_commit_whose_answer_never_comes_is_applied_once(
    how: str, database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    """COMMIT takes long on the server, by a deferred trigger; in its middle the matcher is killed,
    or its sessions are cut off."""
    admin = await asyncpg.connect(database_url)
    await admin.execute(
        """
        CREATE FUNCTION slow_commit() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END$$;
        CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON journal
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow_commit();
        """
    )
    try:
        async with (
            Venue(database_url, redis_url, rabbitmq_url, tmp_path) as venue,
            followed(venue) as clients,
        ):
            sending = asyncio.gather(*(client.send(40, batch=5) for client in clients))
            session = await _session_inside_commit(admin)
            if how == "kill":
                await venue.matchers[0].kill()
                venue.matchers[0].start()
            else:
                await admin.execute("SELECT pg_terminate_backend($1)", session)
            await admin.execute("DROP TRIGGER slow_commit ON journal")
            await sending
            await verify(database_url, redis_url, "BTC-USDT", clients)
    finally:
        await admin.close()


async def _session_inside_commit(admin: asyncpg.Connection) -> int:
    async with asyncio.timeout(30):
        while True:
            pid: int | None = await admin.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'active' AND wait_event = 'PgSleep'"
            )
            if pid is not None:
                return pid
            await asyncio.sleep(0.01)


async def test_a_leader_frozen_inside_a_commit_is_fenced_when_it_wakes(
    database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with (
        Venue(database_url, redis_url, rabbitmq_url, tmp_path) as venue,
        followed(venue) as clients,
    ):
        old = venue.matchers[0]
        standby = venue.add_matcher("BTC-USDT")
        standby.start()
        await standby.ready()
        sending = asyncio.gather(*(client.send(400, batch=5) for client in clients))
        await applied_at_least(database_url, 20)
        assert old.process is not None
        old.process.pause()
        before = await epoch_of(database_url)
        async with asyncio.timeout(20):
            while await epoch_of(database_url) == before:
                await asyncio.sleep(0.05)
        await sending
        head = await all_applied(database_url, "BTC-USDT")
        old.process.resume()
        body = await old.ready()
        assert body["role"] == "standby"
        after = await verify(database_url, redis_url, "BTC-USDT", clients)
        assert (after.sequence, after.chain) == (head.sequence, head.chain)
