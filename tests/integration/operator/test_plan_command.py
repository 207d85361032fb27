"""`gomatch-operator plan` says what would be done, and does nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.fixtures.operator_process import REPOSITORY
from tests.fixtures.operator_stage import Stage
from tests.fixtures.owned_objects import OwnedObjects
from tests.fixtures.staged_market import Saying, StagedMarket

pytestmark = pytest.mark.asyncio(loop_scope="module")
_EXAMPLE = REPOSITORY / "examples" / "btc-usdt.yaml"


def plan(stage: Stage, file: Path) -> list[str]:
    site = stage.site
    config = site.folder / "plan.yaml"
    config.write_text(yaml.safe_dump(site.settings))
    kubeconfig = site.plane.service_account_kubeconfig("gomatch-operator", namespace=site.namespace)
    return subprocess.run(
        [
            *(sys.executable, "-m", "gomatch_operator", "plan", "-f", str(file)),
            *("--config", str(config), "--kubeconfig", str(kubeconfig)),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)},
    ).stdout.splitlines()


async def test_a_plan_tells_all_before_nothing_after_and_what_was_taken_away(
    empty_stage: Stage,
) -> None:
    stage, site = empty_stage, empty_stage.site
    since = site.plane.audit.position()

    lines = await asyncio.to_thread(plan, stage, _EXAMPLE)

    said = [line.partition(" (")[0] for line in lines]
    assert said[0] == "store: create claim BTC-USDT"
    assert "queue: create queue gomatch.orders.BTC-USDT" in said
    for kind in ("ConfigMap", "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment"):
        assert f"cluster: create {kind} btc-usdt-matcher" in said
    assert site.plane.audit.writes(since, user=site.user) == []
    assert await site.sql("SELECT * FROM claims") == []
    assert site.broker.definitions()["queues"] == []

    stage.start()
    site.kubectl("apply", "-f", str(_EXAMPLE))
    market = StagedMarket(stage, "btc-usdt", "BTC-USDT")
    await market.says(Saying("QueueReady", "True", "InStep"))
    await market.says(Saying("MatcherAvailable", "False", "Starting"))
    assert await asyncio.to_thread(plan, stage, _EXAMPLE) == ["nothing: all is as desired"]

    await stage.stop()
    OwnedObjects(stage, market).delete("Service")
    lines = await asyncio.to_thread(plan, stage, _EXAMPLE)
    assert [line.partition(" (")[0] for line in lines] == [
        "cluster: create Service btc-usdt-matcher"
    ]
