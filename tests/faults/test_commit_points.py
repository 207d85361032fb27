"""The matcher is killed with -9, or frozen, at every point around a commit, with orders still
coming and the next batch already matched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gomatch_matcher.fault_points import FaultPoint
from tests.faults.held_commits import held_commits
from tests.faults.verification import verify
from tests.fixtures.control import MatcherControl
from tests.fixtures.following import at_rest, epoch_changed, epoch_of, followed
from tests.fixtures.stored import all_applied
from tests.fixtures.venue import Venue

SMALL_BATCHES = {"GOMATCH_MATCH_BATCH": "5"}
"""So that one request keeps the matcher busy for several commits."""

CLOSE_ACCEPTS = {"GOMATCH_ACCEPT_INTERVAL": "0"}
"""So that the next message is there when the last command of one is acknowledged."""

STEADY = {"GOMATCH_LEASE_SECONDS": "12"}
"""So that a leader which a loaded machine holds up for some seconds still leads."""

PATIENT = {**SMALL_BATCHES, "GOMATCH_DATABASE_TIMEOUT": "60"}
"""Nor does the server end a session that stands inside COMMIT by itself: takeover must."""


@pytest.mark.parametrize(
    "point", ["matched", "before_commit", "committed", "streamed", "cached", "acked"]
)
async def test_a_matcher_killed_at_a_point_loses_and_doubles_nothing(
    point: FaultPoint,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    control: MatcherControl,
    tmp_path: Path,
) -> None:
    venue = Venue(
        database_url,
        redis_url,
        rabbitmq_url,
        tmp_path,
        settings=CLOSE_ACCEPTS,
        matcher_settings={**SMALL_BATCHES, **control.environment},
    )
    async with venue, followed(venue) as clients:
        await at_rest(database_url, redis_url, "BTC-USDT")
        await control.arm(point)
        sending = asyncio.gather(*(client.send(240, batch=60) for client in clients))
        await control.reached()
        await venue.matchers[0].kill()
        venue.matchers[0].start()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)


@pytest.mark.parametrize(
    "end", ["goes_through", "ended_by_the_successor", "ended_under_the_living"]
)
async def test_a_commit_whose_answer_never_comes_is_applied_once(
    end: str, database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    """The server stands inside COMMIT: the matcher is killed and the commit goes through all the
    same, or not, as the next leader ends its session; or that session ends under a matcher that
    lives on."""
    async with (
        held_commits(database_url) as commits,
        Venue(database_url, redis_url, rabbitmq_url, tmp_path, matcher_settings=PATIENT) as venue,
        followed(venue) as clients,
    ):
        await all_applied(database_url, "BTC-USDT")
        before = await commits.sequence()
        await commits.hold()
        sending = asyncio.gather(*(client.send(40, batch=20) for client in clients))
        session = await commits.session_inside()
        assert await commits.sequence() == before
        if end == "ended_under_the_living":
            await commits.admin.execute("SELECT pg_terminate_backend($1)", session)
        else:
            epoch = await epoch_of(database_url)
            await venue.matchers[0].kill()
            if end == "goes_through":
                await commits.release()
                await commits.moved_from(before)
                await commits.hold()
            venue.matchers[0].start()
            await epoch_changed(database_url, epoch)
        await commits.release()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)


@pytest.mark.parametrize("end", ["rolled_back", "committed"])
async def test_a_leader_frozen_inside_a_commit_gives_no_second_result(
    end: str, database_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    """SIGSTOP while the server stands inside COMMIT, takeover by the standby, SIGCONT. The commit
    is ended by the takeover, or has gone through and its answer waits for the frozen process."""
    async with (
        held_commits(database_url) as commits,
        Venue(
            database_url,
            redis_url,
            rabbitmq_url,
            tmp_path,
            matcher_settings={**PATIENT, **STEADY},
        ) as venue,
        followed(venue) as clients,
    ):
        old = venue.matchers[0]
        standby = venue.add_matcher("BTC-USDT")
        standby.start()
        await standby.ready()
        await all_applied(database_url, "BTC-USDT")
        before, epoch = await commits.sequence(), await epoch_of(database_url)
        await commits.hold()
        sending = asyncio.gather(*(client.send(100, batch=20) for client in clients))
        await commits.session_inside()
        assert old.process is not None
        old.process.pause()
        if end == "committed":
            await commits.release()
            await commits.moved_from(before)
        await epoch_changed(database_url, epoch)
        if end == "rolled_back":
            assert await commits.sequence() == before
            await commits.release()
        await sending
        head = await all_applied(database_url, "BTC-USDT")
        old.process.resume()
        await old.ready(role="standby")
        assert (await standby.ready())["role"] == "leader"
        after = await verify(database_url, redis_url, "BTC-USDT", clients)
        assert (after.sequence, after.chain) == (head.sequence, head.chain)
