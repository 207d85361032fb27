"""A namespace that is being deleted, with Markets in it."""

from __future__ import annotations

import asyncio

from gomatch_operator import conditions as c
from tests.fixtures.apiserver import temporary_namespace
from tests.fixtures.operator_process import chart_documents, grant_rights
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying
from tests.integration.operator.conditions.spec_situations import IN_STEP
from tests.integration.operator.conditions.story import Story

_TERMINATING = Saying(c.MATCHER_AVAILABLE, "False", "NamespaceTerminating")


async def _tell(stage: Stage) -> None:
    """No operator runs yet. Its rights do not go with the namespace of the Market, nor does it."""
    plane = stage.site.plane
    with temporary_namespace(plane, f"{stage.namespace}-leaving") as namespace:
        grant_rights(plane, chart_documents(stage.namespace, "clusterScope=true"))
        stage.start(watchNamespaces=[stage.namespace, namespace])
        there = stage.elsewhere(namespace)
        there.create(there.path("serviceaccounts"), {"metadata": {"name": "gomatch-matcher"}})
        market = there.market(drainTimeoutSeconds=1)
        await market.pod()

        # While the controllers are away, nothing goes but what somebody deletes.
        await asyncio.to_thread(plane.controllers.stop_now)
        try:
            stage.delete(f"/api/v1/namespaces/{namespace}")
            stage.delete(market.deployment_path)
            await market.says(_TERMINATING)
        finally:
            await asyncio.to_thread(plane.controllers.start_now)
        await market.stage_until(market.gone, "gone")
        await market.stage_until(
            lambda: stage.get(f"/api/v1/namespaces/{namespace}") is None, "without a namespace"
        )
    [claim] = await stage.site.sql("SELECT held FROM claims WHERE symbol = $1", market.symbol)
    assert not claim["held"]
    again = stage.market(name=market.name, symbol=market.symbol)
    await again.says(Saying(c.CONFLICT, "True", "RetainedByAnother", namespace))
    again.annotate(adopt=market.symbol)
    await again.says(IN_STEP)


NAMESPACE = Story(tell=_tell, says=(_TERMINATING,))
