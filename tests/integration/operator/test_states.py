"""What a Market asks for reaches the exchange once, and what the exchange does is not undone."""

from __future__ import annotations

from itertools import count
from typing import Any

from gomatch.engine import NewOrder, OrderType, Reason, Side, TradingState
from gomatch.store import ClaimedMarket
from tests.fixtures.operator_process import REPOSITORY, until
from tests.fixtures.shared_site import SharedSite, market

_touches = count(1)
PAGE = REPOSITORY / "docs" / "operator.md"
BUG = 77
"""Lots."""
BANDED: dict[str, Any] = {"priceBand": {"mode": "Halt", "fraction": "0.1"}, "referencePrice": "100"}


async def test_a_state_is_entered_once_as_a_numbered_command(shared_site: SharedSite) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol))
    await here.until_condition(name, "StoreReady", "True", "InStep")
    begun = await shared_site.claimed(symbol)
    assert (begun.accepted, begun.requested_state) == (1, TradingState.RUNNING)

    here.apply(market(name, symbol, state="CancelOnly"))

    row = await until_seen(shared_site, name, symbol)
    assert (row.accepted, row.requested_state) == (2, TradingState.CANCEL_ONLY)
    await reconciled_again(shared_site, name, times=3)
    shared_site.restart_operator()
    await reconciled_again(shared_site, name)
    assert (await shared_site.claimed(symbol)).accepted == 2

    # Nobody trades in a closed market, so its orders are cancelled before: two commands.
    here.apply(market(name, symbol, state="Closed"))
    row = await until_seen(shared_site, name, symbol)
    assert (row.accepted, row.requested_state) == (4, TradingState.CLOSED)


async def test_a_market_begins_in_the_state_that_it_asks_for(shared_site: SharedSite) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()

    here.apply(market(name, symbol, state="Auction"))

    await here.until_condition(name, "StoreReady", "True", "InStep")
    row = await shared_site.claimed(symbol)
    assert (row.accepted, row.requested_state) == (2, TradingState.AUCTION)
    await shared_site.matcher(name)
    await until(lambda: here.market(name)["status"].get("state") == "Auction")


async def test_a_changed_definition_reaches_the_exchange_and_the_same_number_does_not(
    shared_site: SharedSite,
) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol, minQuantity="0.10"))
    await here.until_condition(name, "StoreReady", "True", "InStep")
    before = await shared_site.claimed(symbol)

    here.apply(market(name, symbol, minQuantity="0.1"))
    same = await until_seen(shared_site, name, symbol)
    assert (same.accepted, same.definition) == (before.accepted, before.definition)

    here.apply(market(name, symbol, minQuantity="0.2", fees={"maker": "-0.0001"}))
    row = await until_seen(shared_site, name, symbol)
    assert (row.definition.min_quantity, row.definition.maker_fee) == ("0.2", "-0.0001")
    assert row.accepted == before.accepted + 1
    await reconciled_again(shared_site, name)
    assert (await shared_site.claimed(symbol)).accepted == before.accepted + 1


async def test_a_halt_by_the_price_band_stands_until_it_is_asked_to_resume(
    shared_site: SharedSite,
) -> None:
    here = shared_site.here
    name, symbol = await led_market(shared_site, **BANDED)
    await here.until_condition(name, "Ready", "True", "Trading")
    asked = await shared_site.accept(
        symbol,
        [
            order(Side.SELL, price=15_000, user=1),
            order(Side.BUY, price=15_000, user=2),
        ],
    )

    message = await here.until_condition(name, "Halted", "True", "PriceBand")

    assert "price band" in message
    assert here.market(name)["status"]["state"] == "Halted"
    await reconciled_again(shared_site, name, times=10)
    shared_site.restart_operator()
    await reconciled_again(shared_site, name)
    here.apply(market(name, symbol, **BANDED, maxOpenOrders=5))
    await until_seen(shared_site, name, symbol)
    # As may have been asked for before the halt.
    here.apply(market(name, symbol, **BANDED, maxOpenOrders=5, state="Auction"))
    await until_seen(shared_site, name, symbol)
    here.apply(market(name, symbol, **BANDED, maxOpenOrders=5))
    await until_seen(shared_site, name, symbol)
    row = await shared_site.until_row(symbol, lambda row: row.applied == row.accepted)
    assert row.accepted == asked + 1
    assert (row.state, row.state_reason) == (TradingState.HALTED, Reason.PRICE_BAND)
    assert here.condition(name, "Halted")[:2] == ("True", "PriceBand")

    here.kubectl("annotate", "market", name, "gomatch.io/resume=looked at by risk")
    await here.until_condition(name, "Halted", "False", "NotHalted")
    row = await shared_site.claimed(symbol)
    assert (row.state, row.accepted) == (TradingState.RUNNING, asked + 2)

    # The same annotation is no new request, another one is.
    await shared_site.accept(symbol, [order(Side.BUY, price=15_000, user=2)])
    await here.until_condition(name, "Halted", "True", "PriceBand")
    await reconciled_again(shared_site, name, times=2)
    assert here.condition(name, "Halted")[:2] == ("True", "PriceBand")
    here.kubectl("annotate", "--overwrite", "market", name, "gomatch.io/resume=once more")
    await here.until_condition(name, "Halted", "False", "NotHalted")


async def test_a_halt_by_the_engine_stands_until_it_is_asked_to_resume(
    shared_site: SharedSite,
) -> None:
    here = shared_site.here
    name, symbol = await led_market(shared_site, bug_at=BUG)
    await here.until_condition(name, "Ready", "True", "Trading")
    # One is passed over; the second within a minute halts the market.
    faulty = order(Side.BUY, price=9_500, user=1, quantity=BUG)
    await shared_site.accept(symbol, [faulty, faulty])

    await here.until_condition(name, "Halted", "True", "EngineError")

    halted = await shared_site.claimed(symbol)
    assert here.market(name)["status"]["state"] == "Halted"
    await reconciled_again(shared_site, name, times=10)
    shared_site.restart_operator()
    await reconciled_again(shared_site, name)
    here.apply(market(name, symbol, maxOpenOrders=5))
    await until_seen(shared_site, name, symbol)
    row = await shared_site.until_row(symbol, lambda row: row.applied == row.accepted)
    assert row.accepted == halted.accepted + 1
    assert (row.state, row.state_reason) == (TradingState.HALTED, Reason.ENGINE_ERROR)
    assert here.condition(name, "Halted")[:2] == ("True", "EngineError")
    assert here.condition(name, "Ready")[:2] == ("True", "Trading")

    [documented] = [row for row in PAGE.read_text().splitlines() if "| `EngineError`" in row]
    assert "gomatch.io/resume" in documented
    here.kubectl("annotate", "market", name, "gomatch.io/resume=mended")
    await here.until_condition(name, "Halted", "False", "NotHalted")
    row = await shared_site.claimed(symbol)
    assert (row.state, row.accepted) == (TradingState.RUNNING, halted.accepted + 2)


async def test_a_halt_by_hand_stands_until_the_command_line_ends_it(
    shared_site: SharedSite,
) -> None:
    here = shared_site.here
    name, symbol = await led_market(shared_site)

    shared_site.gomatch("markets", "halt", symbol)

    await here.until_condition(name, "Halted", "True", "Manual")
    halted = await shared_site.claimed(symbol)
    await reconciled_again(shared_site, name, times=3)
    shared_site.restart_operator()
    await reconciled_again(shared_site, name)
    row = await shared_site.claimed(symbol)
    assert (row.state, row.accepted) == (TradingState.HALTED, halted.accepted)
    assert here.condition(name, "Halted")[:2] == ("True", "Manual")
    assert here.condition(name, "Ready")[0] == "True"

    shared_site.gomatch("markets", "resume", symbol)
    await here.until_condition(name, "Halted", "False", "NotHalted")
    assert (await shared_site.claimed(symbol)).accepted == halted.accepted + 1


async def test_a_halt_that_the_market_asked_for_says_so(shared_site: SharedSite) -> None:
    here = shared_site.here
    name, symbol = await led_market(shared_site, state="Halted")

    await here.until_condition(name, "Halted", "True", "Requested")

    here.apply(market(name, symbol, state="Running"))
    await here.until_condition(name, "Halted", "False", "NotHalted")


async def test_a_paused_market_is_only_looked_at_until_it_goes(shared_site: SharedSite) -> None:
    here = shared_site.here
    name, symbol = shared_site.names()
    here.apply(market(name, symbol, drainTimeoutSeconds=1))
    await here.until_condition(name, "QueueReady", "True", "InStep")
    here.kubectl("annotate", "market", name, "gomatch.io/paused=true")
    await here.until_condition(name, "ReconciliationPaused", "True", "Paused")
    before = await shared_site.claimed(symbol)

    here.kubectl("patch", "deployment", f"{name}-matcher", "--type=merge", "-p", scaled(2))
    here.kubectl("delete", "service", f"{name}-matcher")
    here.broker.delete(here.broker.at("queues", f"gomatch.orders.{symbol}"))
    here.kubectl("patch", "market", name, "--type=merge", "-p", '{"spec":{"state":"Halted"}}')
    await reconciled_again(shared_site, name, times=3)

    assert here.get("service", f"{name}-matcher") is None
    deployment = here.get("deployment", f"{name}-matcher")
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 2
    assert here.broker.get(here.broker.at("queues", f"gomatch.orders.{symbol}")) is None
    assert await shared_site.claimed(symbol) == before

    here.kubectl("annotate", "market", name, "gomatch.io/paused-")
    await here.until_condition(name, "ReconciliationPaused", "False", "Active")
    await until(lambda: here.get("service", f"{name}-matcher"))
    await until(lambda: here.broker.get(here.broker.at("queues", f"gomatch.orders.{symbol}")))
    row = await shared_site.until_row(
        symbol, lambda row: row.requested_state is TradingState.HALTED
    )
    assert row.accepted == before.accepted + 1

    here.kubectl("annotate", "market", name, "gomatch.io/paused=true")
    await here.until_condition(name, "ReconciliationPaused", "True", "Paused")
    here.kubectl("delete", "market", name, "--timeout=40s")
    row = await shared_site.claimed(symbol)
    assert not row.held
    assert row.requested_state is TradingState.CLOSED


async def led_market(shared_site: SharedSite, *, bug_at: int = 0, **spec: Any) -> tuple[str, str]:
    """Name and symbol of a Market that a matcher leads."""
    name, symbol = shared_site.names()
    shared_site.here.apply(market(name, symbol, **spec))
    await shared_site.here.until_condition(name, "StoreReady", "True", "InStep")
    await shared_site.matcher(name, bug_at=bug_at)
    return name, symbol


async def until_seen(site: SharedSite, name: str, symbol: str) -> ClaimedMarket:
    """Wait until the operator has carried out the Market as it now is; what the exchange has."""

    def seen() -> bool:
        found = site.here.market(name)
        generation = found["metadata"]["generation"]
        told = found["status"].get("conditions", [])
        return bool(told) and all(each["observedGeneration"] == generation for each in told)

    await until(seen)
    return await site.claimed(symbol)


async def reconciled_again(site: SharedSite, name: str, *, times: int = 1) -> None:
    """Wait for further reconciles of this Market, each asked for by an annotation of it."""
    for _ in range(times):
        sample = 'gomatch_operator_reconciles_total{result="done"}'
        before = site.operator.metric(sample)
        annotation = f"gomatch.io/touched={next(_touches)}"
        site.here.kubectl("annotate", "--overwrite", "market", name, annotation)
        await until(lambda: site.operator.metric(sample) > before)  # noqa: B023 - awaited here


def order(side: Side, *, price: int, user: int, quantity: int = 10) -> NewOrder:
    """The quantity in lots, the price in ticks."""
    return NewOrder(user=user, side=side, type=OrderType.LIMIT, quantity=quantity, price=price)


def scaled(replicas: int) -> str:
    return f'{{"spec":{{"replicas":{replicas}}}}}'
