"""A Market goes: what was accepted is applied first, and only what may go goes with it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from contextlib import suppress

import redis

from gomatch.engine import NewOrder, OrderType, Side, TradingState
from gomatch.store import ClaimedMarket
from tests.fixtures.matcher_process import MatcherProcess
from tests.fixtures.operator_process import OperatorSite, until
from tests.fixtures.shared_site import SharedSite, market

ORDERS = [
    NewOrder(user=user, side=side, type=OrderType.LIMIT, quantity=10, price=10_000)
    for user, side in ((1, Side.SELL), (2, Side.BUY), (3, Side.SELL))
]
TABLES = ("claims", "markets", "intake", "heads", "leases", "commands", "journal", "orders")


async def test_a_market_drains_and_writes_its_image_before_anything_is_removed(
    shared_site: SharedSite,
) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol))
    pod = await running_pod(here, name)
    matcher = await shared_site.matcher(name, pod=pod)
    await here.until_condition(name, "Ready", "True", "Trading")
    await shared_site.accept(symbol, ORDERS)

    here.kubectl("delete", "market", name, "--wait=false")

    await here.until_condition(name, "Draining", "True", "WritingImage")
    assert here.condition(name, "Ready")[:2] == ("False", "Deleting")
    waiting = await shared_site.claimed(symbol)
    assert (waiting.held, waiting.state) == (True, TradingState.CLOSED)
    assert waiting.applied == waiting.accepted
    assert queue(here, symbol)
    await until(lambda: keys(here, symbol))
    await end_pod(here, pod, matcher)
    here.kubectl("wait", "--for=delete", f"market/{name}", "--timeout=40s")
    row = await shared_site.claimed(symbol)
    assert (row.held, row.lease_holder) == (False, "")
    assert (row.accepted, row.applied, row.sequence) == (
        waiting.accepted,
        waiting.accepted,
        row.image_sequence,
    )
    assert_nothing_outside(here, symbol)
    await until(lambda: here.get("configmap", f"{name}-matcher") is None)


async def test_with_delete_a_drained_market_leaves_nothing(shared_site: SharedSite) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol, deletionPolicy="Delete"))
    pod = await running_pod(here, name)
    matcher = await shared_site.matcher(name, pod=pod)
    await here.until_condition(name, "Ready", "True", "Trading")
    asked = await shared_site.accept(symbol, ORDERS)
    before = await shared_site.until_row(symbol, lambda row: row.applied >= asked)
    assert all((await rows(here, before)).values())

    here.kubectl("delete", "market", name, "--wait=false")

    await end_pod(here, pod, matcher)
    here.kubectl("wait", "--for=delete", f"market/{name}", "--timeout=40s")
    assert await shared_site.row(symbol) is None
    assert not any((await rows(here, before)).values())
    assert_nothing_outside(here, symbol)


async def test_with_delete_a_market_that_is_not_drained_in_time_keeps_its_data_and_says_so(
    shared_site: SharedSite,
) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol, deletionPolicy="Delete"))
    await here.until_condition(name, "QueueReady", "True", "InStep")
    asked = await shared_site.accept(symbol, ORDERS)
    before = await rows(here, await shared_site.claimed(symbol))

    here.kubectl("delete", "market", name, "--wait=false")

    message = await here.until_condition(name, "Draining", "True", "WaitingForMatcher")
    # All that was accepted, and the two commands that close the market.
    assert str(asked + 2) in message
    let_time_run_out(here, name)
    here.kubectl("wait", "--for=delete", f"market/{name}", "--timeout=40s")
    told = [message for reason, message in here.kubernetes_events(name) if reason == "DataKept"]
    assert len(told) == 1
    assert f"{asked + 2} accepted commands" in told[0]
    row = await shared_site.claimed(symbol)
    assert (row.held, row.accepted, row.applied) == (False, asked + 2, 0)
    assert await rows(here, row) == {**before, "commands": before["commands"] + 1}
    assert_nothing_outside(here, symbol)

    # Nothing of it is lost: who claims it again applies it all.
    here.apply(market(name, symbol))
    await here.until_condition(name, "StoreReady", "True", "InStep")
    await shared_site.matcher(name)
    await shared_site.until_row(symbol, lambda row: row.applied == row.accepted == asked + 3)
    [trades] = await here.sql("SELECT count(*) FROM trades WHERE market_id = $1", row.market_id)
    assert trades[0] == 1


async def test_a_market_that_was_opened_by_hand_is_closed_all_the_same(
    shared_site: SharedSite,
) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol, state="Closed"))
    await here.until_condition(name, "StoreReady", "True", "InStep")
    await shared_site.matcher(name)
    shared_site.gomatch("markets", "resume", symbol)
    await shared_site.until_row(symbol, lambda row: row.state is TradingState.RUNNING)

    here.kubectl("delete", "market", name, "--timeout=40s")

    row = await shared_site.claimed(symbol)
    assert (row.held, row.state, row.applied) == (False, TradingState.CLOSED, row.accepted)


async def test_a_market_goes_by_foreground_cascade(shared_site: SharedSite) -> None:
    """Then the cluster takes its objects away at once, and makes no new ones."""
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol))
    pod = await running_pod(here, name)
    matcher = await shared_site.matcher(name, pod=pod)
    await here.until_condition(name, "Ready", "True", "Trading")
    asked = await shared_site.accept(symbol, ORDERS)
    await shared_site.until_row(symbol, lambda row: row.applied == asked)

    here.kubectl("delete", "market", name, "--cascade=foreground", "--wait=false")

    await end_pod(here, pod, matcher)
    # The matcher may have ended before it had applied the two commands that close the market.
    with suppress(subprocess.CalledProcessError):  # it has, and the Market is gone
        let_time_run_out(here, name)
    here.kubectl("wait", "--for=delete", f"market/{name}", "--timeout=40s")
    row = await shared_site.claimed(symbol)
    assert (row.held, row.accepted) == (False, asked + 2)
    assert row.requested_state is TradingState.CLOSED
    assert row.applied in {asked, row.accepted}
    await until(lambda: here.get("deployment", f"{name}-matcher") is None)
    assert_nothing_outside(here, symbol)


def let_time_run_out(site: OperatorSite, name: str) -> None:
    """Of a Market that is being deleted: what it waits for has been seen, or will not come."""
    patch = '{"spec":{"drainTimeoutSeconds":1}}'
    site.kubectl("patch", "market", name, "--type=merge", "-p", patch)


async def end_pod(site: OperatorSite, pod: str, matcher: MatcherProcess) -> None:
    """As the kubelet does it, once somebody has deleted the pod."""
    stamp = "jsonpath={.metadata.deletionTimestamp}"
    await until(lambda: site.kubectl("get", "pod", pod, "-o", stamp))
    await asyncio.to_thread(matcher.stop)
    site.kubectl("delete", "pod", pod, "--force", "--grace-period=0")


async def running_pod(site: OperatorSite, name: str) -> str:
    """The pod that the cluster has made for this Market, put on a node that nobody looks after:
    it ends when the test says so."""
    pods = (
        "get",
        "pods",
        "-l",
        f"gomatch.io/market={name}",
        "-o",
        "jsonpath={.items[*].metadata.name}",
    )
    await until(lambda: site.kubectl(*pods))
    pod = site.kubectl(*pods)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": pod},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "nobody"},
    }
    path = f"/api/v1/namespaces/{site.namespace}/pods/{pod}/binding"
    site.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(binding))
    return pod


async def rows(site: OperatorSite, row: ClaimedMarket) -> dict[str, int]:
    """How many each table has of a market."""
    found = {}
    for table in TABLES:
        key, value = ("symbol", row.symbol) if table == "claims" else ("market_id", row.market_id)
        statement = f"SELECT count(*) FROM {table} WHERE {key} = $1"
        [counted] = await site.sql(statement, value)
        found[table] = counted[0]
    return found


def queue(site: OperatorSite, symbol: str) -> bool:
    return site.broker.get(site.broker.at("queues", f"gomatch.orders.{symbol}")) is not None


def keys(site: OperatorSite, symbol: str) -> list[bytes]:
    with redis.Redis.from_url(site.redis_url) as client:
        return list(client.scan_iter(match=f"gomatch:{{{symbol}}}*"))


def assert_nothing_outside(site: OperatorSite, symbol: str) -> None:
    assert not queue(site, symbol)
    assert not [each for each in site.broker.definitions()["policies"] if symbol in str(each)]
    assert keys(site, symbol) == []
