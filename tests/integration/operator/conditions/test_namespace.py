from __future__ import annotations

import pytest

from tests.fixtures.operator_stage import Stage
from tests.integration.operator.conditions.namespace_story import NAMESPACE

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_namespace_is_deleted_with_its_markets(empty_stage: Stage) -> None:
    await NAMESPACE.tell(empty_stage)
