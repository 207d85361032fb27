"""An operator that is killed in the middle leaves nothing that the next one would not finish."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from gomatch.engine import TradingState
from gomatch.store import ClaimedMarket
from tests.fixtures.operator_process import REPOSITORY, Document, OperatorProcess, until
from tests.fixtures.shared_site import SharedSite, market
from tests.integration.operator.test_deletion import (
    ORDERS,
    assert_nothing_outside,
    rows,
)

CHILD = REPOSITORY / "tests" / "fixtures" / "operator_child.py"


@pytest.fixture
def alone(module_site: SharedSite) -> Iterator[SharedSite]:
    """No operator runs before and after."""
    module_site.stop_operator()
    yield module_site
    module_site.stop_operator()
    while module_site.matchers:
        module_site.matchers.pop().stop()


@pytest.mark.timeout(400)
async def test_the_next_operator_finishes_a_reconcile_that_was_cut_at_any_step(
    alone: SharedSite,
) -> None:
    """One operator after the other is killed, each a step further."""
    here = alone.here
    name, symbol = alone.names()
    here.apply(market(name, symbol, state="CancelOnly"))

    for point in (
        "finalizer_added:1",
        "store_written:1",
        "queue_written:1",
        "queue_written:1",
        "object_written:1",
        "object_written:3",
        "status_written:1",
    ):
        await killed_at(alone, point)
    here.apply(market(name, symbol, state="Halted", maxOpenOrders=3))
    for point in ("store_written:1", "store_written:1"):
        await killed_at(alone, point)

    operator = here.start()
    try:
        await until(lambda: handled(here.market(name)))
        await here.until_condition(name, "StoreReady", "True", "InStep")
        await here.until_condition(name, "QueueReady", "True", "InStep")
        await here.until_condition(name, "MatcherAvailable", "False", "Starting")
        for kind in ("deployment", "configmap", "service", "poddisruptionbudget", "networkpolicy"):
            assert here.get(kind, f"{name}-matcher") is not None, kind
        row = await alone.claimed(symbol)
        assert (row.requested_state, row.definition.max_open_orders) == (TradingState.HALTED, 3)
        # As it was made, its first state, a definition and a state: none of them twice.
        assert row.accepted == 4
    finally:
        operator.stop()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_the_next_operator_finishes_a_deletion_that_was_cut_at_any_step(
    alone: SharedSite, policy: str
) -> None:
    here = alone.here
    name, symbol = alone.names()
    here.apply(market(name, symbol, deletionPolicy=policy))
    operator = here.start()
    await here.until_condition(name, "QueueReady", "True", "InStep")
    matcher = await alone.matcher(name)
    asked = await alone.accept(symbol, ORDERS)
    before = await alone.claimed(symbol)
    await until(lambda: here.get("deployment", f"{name}-matcher"))
    operator.stop()
    here.kubectl("delete", "market", name, "--wait=false")

    await killed_at(alone, "closing_entered:1")
    row = await alone.until_row(symbol, lambda row: row.applied == asked + 2)
    assert (row.held, row.accepted, row.state) == (True, asked + 2, TradingState.CLOSED)
    await killed_at(alone, "deployment_deleted:1")
    await asyncio.to_thread(matcher.stop)
    for point in ("queue_removed:1", "keys_removed:1", "parted:1"):
        await killed_at(alone, point)

    operator = here.start()
    try:
        here.kubectl("wait", "--for=delete", f"market/{name}", "--timeout=40s")
    finally:
        operator.stop()
    assert_nothing_outside(here, symbol)
    if policy == "Delete":
        assert not any((await rows(here, before)).values())
    else:
        row = await alone.claimed(symbol)
        assert (row.held, row.accepted, row.applied) == (False, asked + 2, asked + 2)


async def half_dropped(site: SharedSite, name: str, symbol: str) -> ClaimedMarket:
    """A Market with the policy Delete whose operator died in the middle of the removal; returns
    its row of before."""
    here = site.here
    here.apply(market(name, symbol, deletionPolicy="Delete"))
    operator = here.start()
    await here.until_condition(name, "QueueReady", "True", "InStep")
    matcher = await site.matcher(name)
    await site.accept(symbol, ORDERS)
    before = await site.claimed(symbol)
    connection = await asyncpg.connect(here.database_url)
    try:
        async with connection.transaction():
            # Somebody holds a row, so that the removal stands still after its first step.
            await connection.fetch(
                "SELECT FROM commands WHERE market_id = $1 FOR UPDATE", before.market_id
            )
            here.kubectl("delete", "market", name, "--wait=false")
            await site.until_row(symbol, lambda row: row.removing)
            operator.kill()
            here.free_lease()
    finally:
        await connection.close()
    await asyncio.to_thread(matcher.stop)
    return before


async def test_the_next_operator_goes_on_dropping_what_was_half_dropped(alone: SharedSite) -> None:
    here = alone.here
    name, symbol = alone.names()
    before = await half_dropped(alone, name, symbol)

    operator = here.start()
    try:
        here.kubectl("wait", "--for=delete", f"market/{name}", "--timeout=40s")
    finally:
        operator.stop()
    assert not any((await rows(here, before)).values())
    assert_nothing_outside(here, symbol)


async def test_a_market_made_anew_is_not_kept_out_by_a_removal_that_nobody_finished(
    alone: SharedSite,
) -> None:
    here = alone.here
    name, symbol = alone.names()
    before = await half_dropped(alone, name, symbol)
    here.kubectl(
        *("patch", "market", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    )
    here.apply(market(name, symbol))

    operator = here.start()
    try:
        await here.until_condition(name, "StoreReady", "True", "InStep")
    finally:
        operator.stop()
    row = await alone.claimed(symbol)
    assert row.market_id != before.market_id
    assert (row.held, row.removing, row.accepted) == (True, False, 1)
    left = await rows(here, before)
    assert [table for table, count in left.items() if count] == ["claims"]


def handled(found: Document) -> bool:
    """All that it asks for has been looked at."""
    seen: bool = (
        found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
    )
    return seen


async def killed_at(site: SharedSite, point: str) -> None:
    """Let an operator work until it comes to this point, and dies there."""
    operator: OperatorProcess = site.here.start(
        program=[sys.executable, str(Path(CHILD))],
        environment={"GOMATCH_TEST_DIE_AT": point},
    )
    try:
        await until(lambda: not operator.running, timeout=80)
    except TimeoutError:
        raise AssertionError(f"never came to {point}:\n{operator.logged()[-3000:]}") from None
    assert operator.exit_code == -signal.SIGKILL, operator.logged()[-3000:]
    site.here.free_lease()
