"""Who leads, who waits, and where a user sees it. The sweep, which looks at leases now and then,
does not run here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gomatch_operator import names
from tests.fixtures.operator_process import Document
from tests.fixtures.operator_stage import Stage
from tests.fixtures.played_leader import PlayedLeader, played_leader
from tests.fixtures.staged_market import Saying, StagedMarket

pytestmark = pytest.mark.asyncio(loop_scope="module")
_RUNNING = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(empty_stage: Stage) -> StagedMarket:
    """With one pod that leads and one that waits."""
    empty_stage.start(sweepSeconds=3600, statusSeconds=3600)
    market = empty_stage.market(standbys=1)
    await market.stage_until(lambda: len(ready_pods(market)) == 2, "two pods")
    await market.says(Saying("StoreReady", "True", "InStep"))
    return market


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def leader(market: StagedMarket) -> AsyncIterator[PlayedLeader]:
    async with played_leader(market.stage.site.database_url, market.symbol) as leader:
        await leader.lead(ready_pods(market)[0])
        yield leader


async def test_pods_carry_the_role_that_the_lease_gives_them(
    market: StagedMarket, leader: PlayedLeader
) -> None:
    one, other = leader.pod, other_than(leader, market)
    await market.stage_until(
        lambda: roles(market) == {one: ("leader", "1000"), other: ("standby", "0")}, "roles"
    )
    await market.says(Saying("Ready", "True", "Trading", words=one))

    # Undone when somebody changes it.
    path = market.stage.path("pods", one)
    market.stage.patch(path, {"metadata": {"labels": {names.LABEL_ROLE: "standby"}}})
    await market.stage_until(
        lambda: roles(market) == {one: ("leader", "1000"), other: ("standby", "0")}, "roles again"
    )


async def test_a_change_of_leader_is_told_though_no_pod_changes_after_it(
    market: StagedMarket, leader: PlayedLeader
) -> None:
    one, other = leader.pod, other_than(leader, market)
    await market.stage_until(lambda: status(market).get("leader") == one, "its leader")

    # The pod fails first, and only then somebody else takes the lease.
    path = market.stage.path("pods", f"{one}/status")
    failing = {"conditions": [{"type": "Ready", "status": "False"}]}
    market.stage.patch(path, {"status": failing})
    await market.stage_until(lambda: status(market)["readyReplicas"] == 1, "one ready pod")
    await leader.lead(other)

    await market.stage_until(lambda: status(market).get("leader") == other, "the other leader")
    await market.stage_until(
        lambda: roles(market) == {one: ("standby", "0"), other: ("leader", "1000")}, "roles"
    )
    await market.says(Saying("Ready", "True", "Trading", words=other))
    epoch = (await market.stage.site.sql("SELECT epoch FROM leases"))[0]["epoch"]
    assert status(market)["epoch"] == epoch
    market.stage.patch(path, {"status": _RUNNING})


async def test_status_and_columns_say_what_there_is(
    market: StagedMarket, leader: PlayedLeader
) -> None:
    one, other = leader.pod, other_than(leader, market)
    await market.stage_until(
        lambda: (status(market).get("leader"), status(market).get("standbys")) == (one, 1),
        "leader and standby",
    )
    said = status(market)
    assert said["observedGeneration"] == market.read()["metadata"]["generation"]
    assert (said["state"], said["readyReplicas"]) == ("Running", 2)
    assert said["image"] == market.stage.site.settings["matcher"]["image"]
    assert said["queue"]["name"] == f"gomatch.orders.{market.symbol}"
    assert said["claim"]["installation"] == market.stage.site.settings["installation"]

    header, row = market.stage.site.kubectl("get", "mkt", market.name).splitlines()
    assert header.split() == ["NAME", "SYMBOL", "STATE", "READY", "LEADER", "DEPTH", "AGE"]
    assert row.split()[:6] == [market.name, market.symbol, "Running", "True", one, "0"]
    waiting = market.stage.site.kubectl("get", "pods", "-l", said["selector"], "-o", "name")
    assert waiting.split() == [f"pod/{other}"]


async def test_scaling_the_market_changes_the_pods_that_wait(
    market: StagedMarket, leader: PlayedLeader
) -> None:
    one = leader.pod
    await market.stage_until(lambda: status(market).get("leader") == one, "its leader")

    market.stage.site.kubectl("scale", "market", market.name, "--replicas=2")
    await market.stage_until(
        lambda: len(ready_pods(market)) == 3 and status(market)["standbys"] == 2, "two that wait"
    )
    market.stage.site.kubectl("scale", "market", market.name, "--replicas=1")
    await market.stage_until(
        lambda: len(market.pods()) == 2 and status(market)["standbys"] == 1, "one that waits"
    )
    assert one in roles(market), "the leader goes last"


def status(market: StagedMarket) -> Document:
    found: Document = market.read().get("status", {})
    return found


def roles(market: StagedMarket) -> dict[str, tuple[str, str]]:
    """Role and cost of deletion by pod."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["labels"].get(names.LABEL_ROLE, ""),
            pod["metadata"].get("annotations", {}).get(names.ANNOTATION_DELETION_COST, ""),
        )
        for pod in market.pods()
    }


def other_than(leader: PlayedLeader, market: StagedMarket) -> str:
    [other] = (pod for pod in ready_pods(market) if pod != leader.pod)
    return other


def ready_pods(market: StagedMarket) -> list[str]:
    """Make all of them ready, as a kubelet would; their names."""
    for pod in market.pods():
        if pod["status"].get("phase") != "Running":
            path = market.stage.path("pods", f"{pod['metadata']['name']}/status")
            market.stage.patch(path, {"status": _RUNNING}, may_be_gone=True)
    return sorted(pod["metadata"]["name"] for pod in market.pods())
