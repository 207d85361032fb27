"""The matcher's links are cut at points around a commit while its process lives on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gomatch.cache import BookMirror
from gomatch_matcher.fault_points import FaultPoint
from tests.faults.verification import verify
from tests.fixtures.control import MatcherControl
from tests.fixtures.following import at_rest, epoch_changed, epoch_of, followed
from tests.fixtures.links import SETTINGS, ProxyFactory
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.stored import all_applied, head_of
from tests.fixtures.venue import Venue

POINTS: dict[str, tuple[FaultPoint, ...]] = {
    "postgres": ("before_commit", "committed", "streamed", "cached"),
    "redis": ("before_commit", "committed", "streamed", "cached"),
    "rabbitmq": ("committed", "streamed", "cached", "acked"),
    "callback": ("before_commit", "committed", "streamed", "cached"),
}


async def venue_behind(
    link: str, urls: dict[str, str], folder: Path, tcp_proxy: ProxyFactory, **settings: str
) -> tuple[Venue, TcpProxy]:
    """A venue whose matcher reaches one of its neighbours through a proxy only."""
    venue = Venue(
        urls["postgres"],
        urls["redis"],
        urls["rabbitmq"],
        folder,
        settings={"GOMATCH_ACCEPT_INTERVAL": "0"},
    )
    urls = {**urls, "callback": f"grpc://127.0.0.1:{venue.callback_ports[0]}"}
    proxy = await tcp_proxy(urls[link])
    through = proxy.url(urls[link]).removeprefix("grpc://")
    venue.matcher_settings = {"GOMATCH_MATCH_BATCH": "5", SETTINGS[link]: through, **settings}
    return venue, proxy


@pytest.mark.parametrize("link", POINTS)
async def test_a_link_cut_at_each_point(
    link: str,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    tcp_proxy: ProxyFactory,
    control: MatcherControl,
    tmp_path: Path,
) -> None:
    """Cut before COMMIT is sent, and between each of the steps that follow it, while the next
    batch is already matched; the matcher goes on by itself when the link is back."""
    venue, proxy = await venue_behind(
        link,
        {"postgres": database_url, "redis": redis_url, "rabbitmq": rabbitmq_url},
        tmp_path,
        tcp_proxy,
        **control.environment,
    )
    async with venue, followed(venue) as clients:
        for point in POINTS[link]:
            await at_rest(database_url, redis_url, "BTC-USDT")
            await control.arm(point)
            sending = asyncio.gather(*(client.send(120, batch=60) for client in clients))
            await control.reached()
            proxy.cut()
            await control.go_on()
            await proxy.missed()
            proxy.restore()
            await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)


@pytest.mark.parametrize("link", ["postgres", "redis"])
async def test_what_was_written_counts_although_its_answer_is_lost(
    link: str,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    tcp_proxy: ProxyFactory,
    control: MatcherControl,
    tmp_path: Path,
) -> None:
    """The server has carried out the commit, or the write of the mirror; its answer never arrives
    at the matcher, which lives on."""
    venue, proxy = await venue_behind(
        link,
        {"postgres": database_url, "redis": redis_url, "rabbitmq": rabbitmq_url},
        tmp_path,
        tcp_proxy,
        **control.environment,
    )
    async with venue, followed(venue) as clients:
        await at_rest(database_url, redis_url, "BTC-USDT")
        await control.arm("before_commit" if link == "postgres" else "committed")
        sending = asyncio.gather(*(client.send(60, batch=20) for client in clients))
        await control.reached()
        before = await written(link, database_url, redis_url)
        proxy.stall("to_client")
        await control.go_on()
        async with asyncio.timeout(60):
            while await written(link, database_url, redis_url) == before:
                await asyncio.sleep(0.01)
        proxy.cut()
        await proxy.missed()
        proxy.restore()
        await sending
        await verify(database_url, redis_url, "BTC-USDT", clients)


@pytest.mark.parametrize("link", ["rabbitmq", "callback"])
async def test_what_was_sent_and_never_arrived_is_made_up_for(
    link: str,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    tcp_proxy: ProxyFactory,
    control: MatcherControl,
    tmp_path: Path,
) -> None:
    """Acknowledgements to the broker, or results for the API replica, are lost on the way."""
    venue, proxy = await venue_behind(
        link,
        {"postgres": database_url, "redis": redis_url, "rabbitmq": rabbitmq_url},
        tmp_path,
        tcp_proxy,
        **control.environment,
    )
    async with venue, followed(venue) as clients:
        await at_rest(database_url, redis_url, "BTC-USDT")
        await control.arm("committed")
        sending = asyncio.gather(*(client.send(60, batch=20) for client in clients))
        await control.reached()
        proxy.stall("to_server")
        await control.go_on()
        await sending
        await all_applied(database_url, "BTC-USDT")
        proxy.cut()
        await proxy.missed()
        proxy.restore()
        await verify(database_url, redis_url, "BTC-USDT", clients)


@pytest.mark.parametrize("how", ["cut", "stall"])
async def test_a_leader_without_its_database_for_longer_than_the_lease_is_succeeded(
    how: str,
    database_url: str,
    redis_url: str,
    rabbitmq_url: str,
    tcp_proxy: ProxyFactory,
    control: MatcherControl,
    tmp_path: Path,
) -> None:
    """Its link is cut, or lets nothing through, as it commits; a standby takes over; when the link
    is back the old leader waits in its turn."""
    venue, proxy = await venue_behind(
        "postgres",
        {"postgres": database_url, "redis": redis_url, "rabbitmq": rabbitmq_url},
        tmp_path,
        tcp_proxy,
        # A leader that a loaded machine holds up for some seconds still leads.
        GOMATCH_LEASE_SECONDS="12",
        **control.environment,
    )
    async with venue, followed(venue) as clients:
        old, standby = venue.matchers[0], venue.add_matcher("BTC-USDT")
        standby.start(GOMATCH_POSTGRES_URL=database_url, GOMATCH_TEST_CONTROL="")
        await standby.ready(role="standby")
        await at_rest(database_url, redis_url, "BTC-USDT")
        epoch = await epoch_of(database_url)
        await control.arm("before_commit", 2)
        sending = asyncio.gather(*(client.send(100, batch=20) for client in clients))
        await control.reached()
        (proxy.cut if how == "cut" else proxy.stall)()
        await control.go_on()
        await epoch_changed(database_url, epoch)
        await sending
        head = await all_applied(database_url, "BTC-USDT")
        proxy.restore()
        await old.ready(role="standby")
        assert (await standby.ready())["role"] == "leader"
        after = await verify(database_url, redis_url, "BTC-USDT", clients)
        assert (after.sequence, after.chain) == (head.sequence, head.chain)


async def written(link: str, database_url: str, redis_url: str) -> int:
    """The sequence up to which the server behind ``link`` holds what the matcher wrote."""
    if link == "postgres":
        return (await head_of(database_url, "BTC-USDT")).sequence
    mirror = BookMirror(redis_url, "BTC-USDT", timeout=30)
    try:
        held = await mirror.load()
        return held.sequence if held else 0
    finally:
        await mirror.close()
