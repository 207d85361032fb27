"""Whatever befalls a Market, a condition names it, and it heals by itself."""

from __future__ import annotations

import pytest

from gomatch_operator.conditions import REASONS
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying
from tests.integration.operator.conditions import (
    claim_situations,
    cluster_situations,
    server_situations,
    spec_situations,
)
from tests.integration.operator.conditions.beginning_story import BEGINNING
from tests.integration.operator.conditions.leaving_story import LEAVING
from tests.integration.operator.conditions.namespace_story import NAMESPACE
from tests.integration.operator.conditions.rollout_story import ROLLOUT
from tests.integration.operator.conditions.situation import Situation
from tests.integration.operator.conditions.trading_story import TRADING

pytestmark = pytest.mark.asyncio(loop_scope="module")
SITUATIONS = (
    *spec_situations.SITUATIONS,
    *claim_situations.SITUATIONS,
    *cluster_situations.SITUATIONS,
    *server_situations.SITUATIONS,
)
STORIES = (TRADING, LEAVING, ROLLOUT, BEGINNING, NAMESPACE)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
async def test_a_situation_is_named_and_heals_by_itself(stage: Stage, situation: Situation) -> None:
    await situation.happen(stage)


async def test_a_market_trades_and_says_why_it_is_halted(stage: Stage) -> None:
    await TRADING.tell(stage)


async def test_a_deleted_market_says_what_it_waits_for(stage: Stage) -> None:
    await LEAVING.tell(stage)


async def test_no_reason_is_left_out() -> None:
    def reasons(sayings: tuple[Saying, ...]) -> set[tuple[str, str]]:
        return {(saying.type, saying.reason) for saying in sayings}

    reached = set[tuple[str, str]]()
    for situation in SITUATIONS:
        reached |= reasons((*situation.says, *situation.afterwards))
    for story in STORIES:
        reached |= reasons(story.says)
    documented = {(kind, reason) for kind, known in REASONS.items() for reason in known}

    assert reached == documented
