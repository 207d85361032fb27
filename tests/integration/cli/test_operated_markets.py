"""`gomatch markets` on a market of an operator, and on one that is flooded; no matcher runs."""

from __future__ import annotations

import pytest

from gomatch.engine import TradingState
from gomatch.messages.market import MarketDefinition
from gomatch.store import ClaimedMarket, ClaimOwner, Claims, connect_pool
from tests.fixtures.servers import run_in_own_loop
from tests.integration.cli.conftest import run

DEFINITION = MarketDefinition(base="BTC", quote="USDT", tick_size="1", lot_size="1")
OWNER = ClaimOwner(installation="prod", namespace="trading", name="btc-usdt", uid="u1")
CONFIGURE = ("markets", "configure", "BTC-USDT", "--taker-fee", "0.1", "--wait", "0")


@pytest.fixture
def operated(database_url: str) -> str:
    """A database with a market that an operator claimed."""

    async def claim() -> None:
        async with await connect_pool(
            database_url, size=1, timeout=10, application="tests"
        ) as pool:
            await Claims(pool).claim(OWNER, DEFINITION, term=1)

    run_in_own_loop(claim())
    return database_url


def seen(url: str) -> ClaimedMarket:
    async def observe() -> ClaimedMarket:
        async with await connect_pool(url, size=1, timeout=10, application="tests") as pool:
            market = await Claims(pool).observe_one("BTC-USDT")
            assert market is not None
            return market

    market: ClaimedMarket = run_in_own_loop(observe())
    return market


def test_an_operators_market_is_configured_only_by_force(operated: str) -> None:
    run(*CONFIGURE, GOMATCH_POSTGRES_URL=operated).refused(1, "--force")
    run(*CONFIGURE, "--json", GOMATCH_POSTGRES_URL=operated).refused(1, '"managed_by_operator"')
    assert (seen(operated).definition, seen(operated).accepted) == (DEFINITION, 1)
    assert run(*CONFIGURE, "--force", GOMATCH_POSTGRES_URL=operated).code == 0
    assert (seen(operated).definition.taker_fee, seen(operated).accepted) == ("0.1", 2)


def test_an_operators_market_is_halted_by_hand_and_keeps_what_the_operator_asked_for(
    operated: str,
) -> None:
    for verb in ("halt", "resume"):
        done = run("markets", verb, "BTC-USDT", "--wait", "0", GOMATCH_POSTGRES_URL=operated)
        assert done.code == 0, done.stderr
    market = seen(operated)
    assert (market.accepted, market.requested_state) == (3, TradingState.RUNNING)


def test_a_flooded_market_is_halted_but_not_resumed(operated: str) -> None:
    flooded = {"GOMATCH_POSTGRES_URL": operated, "GOMATCH_BACKLOG_LIMIT": "1"}
    for state in ("cancel_only", "halted", "closed"):
        done = run("markets", "halt", "BTC-USDT", "--state", state, "--wait", "0", **flooded)
        assert done.code == 0, done.stderr
    resume = run("markets", "resume", "BTC-USDT", "--wait", "0", "--json", **flooded)
    resume.refused(1, '"backlog_full"')
