"""Who has a symbol when several want it, and what becomes of it when its Market goes."""

from __future__ import annotations

import pytest

from gomatch.engine import TradingState
from gomatch.store import ClaimedMarket
from tests.fixtures.operator_process import OperatorSite, until
from tests.fixtures.shared_site import SharedSite, market

OBJECTS = ("deployment", "configmap", "service", "poddisruptionbudget", "networkpolicy")


async def test_the_second_market_of_a_symbol_gets_nothing(shared_site: SharedSite) -> None:
    here = shared_site.here
    (first, symbol), (second, _) = shared_site.names(), shared_site.names()
    here.apply(market(first, symbol))
    await here.until_condition(first, "StoreReady", "True", "InStep")

    here.apply(market(second, symbol, maxOpenOrders=7, state="Halted"))

    message = await here.until_condition(second, "Conflict", "True", "HeldByAnother")
    assert f"{here.namespace}/{first}" in message
    assert here.condition(second, "Ready")[:2] == ("False", "Conflict")
    assert here.condition(second, "StoreReady")[:2] == ("False", "NotClaimed")
    assert_nothing_made(here, second)
    row = await shared_site.claimed(symbol)
    assert row.owner is not None
    assert row.owner.name == first
    assert (row.definition.max_open_orders, row.requested_state) == (0, TradingState.RUNNING)
    assert here.condition(first, "Conflict")[:2] == ("False", "NoConflict")


async def test_nobody_takes_a_symbol_from_another_namespace(shared_site: SharedSite) -> None:
    here, there = shared_site.here, shared_site.there
    name, symbol = shared_site.names()
    there.apply(market(name, symbol))
    await there.until_condition(name, "StoreReady", "True", "InStep")

    here.apply(market(name, symbol))

    message = await here.until_condition(name, "Conflict", "True", "HeldByAnother")
    assert f"{there.namespace}/{name}" in message
    assert_nothing_made(here, name)


async def test_of_those_that_waited_the_oldest_gets_a_free_symbol(shared_site: SharedSite) -> None:
    """The order in which the operator finds them says nothing."""
    here, there = shared_site.here, shared_site.there
    (name, symbol), (other, _) = shared_site.names(), shared_site.names()
    shared_site.stop_operator()
    there.apply(market(other, symbol))
    oldest = created(there, other)

    def later() -> bool:
        here.apply(market(name, symbol))
        if created(here, name) > oldest:
            return True
        here.kubectl("delete", "market", name)
        return False

    await until(later)

    assert shared_site.operator.running
    await there.until_condition(other, "StoreReady", "True", "InStep")
    await here.until_condition(name, "Conflict", "True", "HeldByAnother")
    assert_nothing_made(here, name)


async def test_a_symbol_goes_to_who_waits_for_it_once_its_data_is_dropped(
    shared_site: SharedSite,
) -> None:
    here, there = shared_site.here, shared_site.there
    (first, symbol), (second, _) = shared_site.names(), shared_site.names()
    here.apply(market(first, symbol, deletionPolicy="Delete"))
    await here.until_condition(first, "StoreReady", "True", "InStep")
    there.apply(market(second, symbol))
    await there.until_condition(second, "Conflict", "True", "HeldByAnother")
    before = await shared_site.claimed(symbol)
    await shared_site.matcher(first)

    here.kubectl("delete", "market", first, "--timeout=40s")

    await there.until_condition(second, "StoreReady", "True", "InStep")
    assert there.condition(second, "Conflict")[:2] == ("False", "NoConflict")
    after = await shared_site.claimed(symbol)
    assert after.owner is not None
    assert (after.owner.namespace, after.owner.name) == (there.namespace, second)
    assert after.market_id != before.market_id


async def test_a_symbol_of_another_installation_is_waited_for(
    shared_site: SharedSite, operator_site: OperatorSite
) -> None:
    """It shares nothing but the database, so that no watch tells when the other's Market goes."""
    here, elsewhere = shared_site.here, operator_site
    (first, symbol), (second, _) = shared_site.names(), shared_site.names()
    here.apply(market(first, symbol, deletionPolicy="Delete"))
    await here.until_condition(first, "StoreReady", "True", "InStep")
    elsewhere.settings["servers"]["postgres"] = here.settings["servers"]["postgres"]
    elsewhere.start()
    elsewhere.apply(market(second, symbol))
    message = await elsewhere.until_condition(second, "Conflict", "True", "HeldByAnother")
    assert f"{here.namespace}/{first} of installation {here.settings['installation']}" in message
    assert_nothing_made(elsewhere, second)
    await shared_site.matcher(first)

    here.kubectl("delete", "market", first, "--timeout=40s")

    await elsewhere.until_condition(second, "StoreReady", "True", "InStep")
    await until(lambda: elsewhere.get("deployment", f"{second}-matcher"))


async def test_what_was_retained_goes_on_with_the_same_market(shared_site: SharedSite) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    before = await retained(shared_site, name, symbol)

    here.apply(market(name, symbol))

    await here.until_condition(name, "StoreReady", "True", "InStep")
    after = await shared_site.until_row(
        symbol, lambda row: row.requested_state is TradingState.RUNNING
    )
    assert after.owner is not None
    assert after.owner.uid == here.market(name)["metadata"]["uid"]
    assert (after.market_id, after.held) == (before.market_id, True)
    # What was accepted before stands, and the market is told to open again, once.
    assert after.accepted == before.accepted + 1
    await until(lambda: here.get("deployment", f"{name}-matcher"))


@pytest.mark.parametrize("adopt", [True, False], ids=["adopting", "not adopting"])
async def test_another_tick_than_the_retained_one_starts_nothing(
    shared_site: SharedSite, adopt: bool
) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    before = await retained(shared_site, name, symbol)
    again = market(name, symbol, tickSize="0.05")
    if adopt:
        again["metadata"]["annotations"] = {"gomatch.io/adopt": symbol}

    here.apply(again)

    message = await here.until_condition(name, "Ready", "False", "IdentityMismatch")
    assert "tick" in message
    assert here.condition(name, "StoreReady")[:2] == ("False", "IdentityMismatch")
    assert_nothing_made(here, name)
    assert await shared_site.claimed(symbol) == before

    here.kubectl("delete", "market", name, "--timeout=40s")
    here.apply(market(name, symbol))
    await here.until_condition(name, "StoreReady", "True", "InStep")


@pytest.mark.parametrize("where", ["another name", "another namespace"])
async def test_what_another_retained_is_taken_only_by_who_asks_to_adopt_it(
    shared_site: SharedSite, where: str
) -> None:
    (name, symbol), (other, other_symbol) = shared_site.names(), shared_site.names()
    site, taker = (
        (shared_site.here, other) if where == "another name" else (shared_site.there, name)
    )
    before = await retained(shared_site, name, symbol)
    site.apply(market(taker, symbol))
    message = await site.until_condition(taker, "Conflict", "True", "RetainedByAnother")
    assert f"{shared_site.here.namespace}/{name}" in message
    assert_nothing_made(site, taker)
    site.kubectl("annotate", "market", taker, f"gomatch.io/adopt={other_symbol}")
    site.kubectl("annotate", "market", taker, "example.com/seen=yes")
    await site.until_condition(taker, "Conflict", "True", "RetainedByAnother")
    assert await shared_site.claimed(symbol) == before

    site.kubectl("annotate", "--overwrite", "market", taker, f"gomatch.io/adopt={symbol}")

    await site.until_condition(taker, "StoreReady", "True", "InStep")
    assert site.condition(taker, "Conflict")[:2] == ("False", "NoConflict")
    after = await shared_site.claimed(symbol)
    assert after.owner is not None
    assert (after.market_id, after.owner.name) == (before.market_id, taker)


async def test_a_market_of_the_command_line_is_left_alone(shared_site: SharedSite) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    shared_site.gomatch("markets", "create", symbol, "--tick", "0.01", "--lot", "0.001")
    before = await shared_site.claimed(symbol)
    asking = market(name, symbol, maxOpenOrders=3)
    asking["metadata"]["annotations"] = {"gomatch.io/adopt": symbol}

    here.apply(asking)

    message = await here.until_condition(name, "Conflict", "True", "ForeignMarket")
    assert "command line" in message
    assert here.condition(name, "Ready")[:2] == ("False", "Conflict")
    assert_nothing_made(here, name)
    assert await shared_site.claimed(symbol) == before

    here.kubectl("delete", "market", name, "--timeout=40s")
    assert await shared_site.claimed(symbol) == before


async def test_a_market_that_never_had_its_symbol_goes_without_touching_anything(
    shared_site: SharedSite,
) -> None:
    here, there = shared_site.here, shared_site.there
    name, symbol = shared_site.names()
    here.apply(market(name, symbol))
    await here.until_condition(name, "QueueReady", "True", "InStep")
    there.apply(market(name, symbol, deletionPolicy="Delete", drainTimeoutSeconds=1))
    await there.until_condition(name, "Conflict", "True", "HeldByAnother")
    row, broker = await shared_site.claimed(symbol), here.broker.definitions()

    there.kubectl("delete", "market", name, "--timeout=40s")

    assert await shared_site.claimed(symbol) == row
    assert here.broker.definitions() == broker
    assert here.get("deployment", f"{name}-matcher") is not None
    assert here.condition(name, "StoreReady")[:2] == ("True", "InStep")


async def retained(site: SharedSite, name: str, symbol: str) -> ClaimedMarket:
    """A Market came and went, and left its data."""
    site.here.apply(market(name, symbol, drainTimeoutSeconds=1))
    await site.here.until_condition(name, "StoreReady", "True", "InStep")
    site.here.kubectl("delete", "market", name, "--timeout=40s")
    # The cluster's garbage collector learns of a new kind only after a while.
    await until(lambda: not objects_of(site.here, name))
    row = await site.claimed(symbol)
    assert not row.held
    return row


def created(site: OperatorSite, name: str) -> str:
    stamp: str = site.market(name)["metadata"]["creationTimestamp"]
    return stamp


def assert_nothing_made(site: OperatorSite, name: str) -> None:
    assert objects_of(site, name) == []


def objects_of(site: OperatorSite, name: str) -> list[str]:
    """Kinds of objects that there are of this Market's, or of one of its name before."""
    return [kind for kind in OBJECTS if site.get(kind, f"{name}-matcher") is not None]
