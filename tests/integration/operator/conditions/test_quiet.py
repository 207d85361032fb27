"""Faults that stand are told once and not hammered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gomatch_operator import conditions as c
from gomatch_operator import names
from tests.fixtures.audit_log import AuditEvent
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.claim_situations import two_of_a_symbol
from tests.integration.operator.conditions.cluster_situations import (
    crash_loop,
    no_room_for_config_maps,
    strange_deployment,
)
from tests.integration.operator.conditions.server_situations import strange_queue
from tests.integration.operator.conditions.situation import Arrangement
from tests.integration.operator.conditions.spec_situations import no_multiple_of_the_lot

pytestmark = pytest.mark.asyncio(loop_scope="module")
_STANDING: tuple[tuple[Arrangement, Saying], ...] = (
    (strange_deployment, Saying(c.CONFLICT, "True", "ForeignObject")),
    (strange_queue, Saying(c.CONFLICT, "True", "ForeignQueue")),
    (two_of_a_symbol, Saying(c.CONFLICT, "True", "HeldByAnother")),
    (no_multiple_of_the_lot, Saying(c.SPEC_VALID, "False", "OutOfRange")),
    (crash_loop, Saying(c.MATCHER_AVAILABLE, "False", "CrashLooping")),
    (no_room_for_config_maps, Saying(c.MATCHER_AVAILABLE, "False", "QuotaExceeded")),
)
_RENEWALS = 10
"""Of the operator's Lease, one a second; in that time it also sweeps each second."""
_REFUSALS = 10
"""At most: two Markets are tried again after random pauses of up to 0.5, 1, 2, 4 ... seconds, and
not with each sweep."""


async def test_faults_that_stand_are_told_once_and_not_hammered(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        markets = []
        for arrange, saying in _STANDING:
            market = await stack.enter_async_context(asynccontextmanager(arrange)(stage))
            await market.says(saying)
            markets.append(market)
        async with asyncio.timeout(90):
            while _done(await _writes(markets[0], 3)):
                pass
        writes = await _writes(markets[0], _RENEWALS)
        assert not _done(writes), "\n".join(_done(writes))
        assert len(writes) <= _REFUSALS, writes
        for market, (_, saying) in zip(markets, _STANDING, strict=True):
            assert market.told(saying) == 1, saying


def _done(writes: Sequence[AuditEvent]) -> list[str]:
    """Those that were not refused."""
    return [f"{each.verb} {each.uri}" for each in writes if each.code < 400]


async def _writes(market: StagedMarket, renewals: int) -> list[AuditEvent]:
    """Of the operator, but for Leases, while it renews its own so often."""
    site = market.stage.site
    since = site.plane.audit.position()
    await _renewals(market, renewals)
    found = site.plane.audit.writes(since, user=site.user)
    return [each for each in found if each.resource != "leases"]


async def _renewals(market: StagedMarket, number: int) -> None:
    """Wait until the operator has renewed its Lease so often."""
    stage = market.stage
    path = stage.path("leases", names.FIELD_MANAGER, group="coordination.k8s.io")
    seen = set[str]()

    def often() -> bool:
        lease = stage.get(path)
        assert lease is not None
        seen.add(lease["spec"]["renewTime"])
        return len(seen) > number

    await market.stage_until(often, f"{number} renewals")
