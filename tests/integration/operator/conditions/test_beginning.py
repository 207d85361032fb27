from __future__ import annotations

import pytest

from tests.fixtures.operator_stage import Stage
from tests.integration.operator.conditions.beginning_story import BEGINNING

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_servers_may_come_after_the_operator(empty_stage: Stage) -> None:
    await BEGINNING.tell(empty_stage)
