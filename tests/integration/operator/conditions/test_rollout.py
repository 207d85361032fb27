from __future__ import annotations

import pytest

from tests.fixtures.operator_stage import Stage
from tests.integration.operator.conditions.rollout_story import ROLLOUT

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_new_default_image_waits_for_the_market_before(empty_stage: Stage) -> None:
    await ROLLOUT.tell(empty_stage)
