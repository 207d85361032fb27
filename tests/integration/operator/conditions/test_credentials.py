"""Secrets of the operator that are mounted after it has started."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from gomatch_operator import conditions as c
from tests.fixtures.operator_pair import untidy_lines
from tests.fixtures.operator_stage import PASSWORD, Stage
from tests.fixtures.staged_market import Saying

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_credentials_may_come_after_the_operator(empty_stage: Stage) -> None:
    stage = empty_stage
    folders = {server: files.folder for server, files in stage.credentials.items()}
    missing = {
        server: Saying(kind, "False", "CredentialsRefused", f"{folders[server]}/")
        for server, kind in (
            ("postgres", c.STORE_READY),
            ("rabbitmq", c.QUEUE_READY),
            ("redis", c.CACHE_READY),
        )
    }
    shutil.rmtree(folders["postgres"])
    (folders["rabbitmq"] / "password").unlink()
    for file in folders["redis"].iterdir():
        file.unlink()

    operator = stage.start()
    markets = [stage.market() for _ in range(3)]
    for market in markets:
        await market.says(missing["postgres"])
        await market.says(Saying(c.READY, "False", "StoreNotReady"))
    await market.stage_until(lambda: told(stage, missing["postgres"]), "an Event")
    assert operator.get("/readyz").status_code == operator.get("/healthz").status_code == 200

    folders["postgres"].mkdir()
    stage.credentials["postgres"].write(stage.account, PASSWORD)
    for market in markets:
        await market.says(Saying(c.STORE_READY, "True", "InStep"))
        await market.says(missing["rabbitmq"])
        await market.says(missing["redis"])
        await market.pod()
    for server in ("rabbitmq", "redis"):
        await market.stage_until(lambda: told(stage, missing[server]), "an Event")  # noqa: B023 - awaited here

    for server in ("rabbitmq", "redis"):
        stage.credentials[server].write(stage.account, PASSWORD)
    for market in markets:
        await market.says(Saying(c.QUEUE_READY, "True", "InStep"))
        await market.says(Saying(c.CACHE_READY, "False", "NotStarted"))
    for saying in missing.values():
        assert told(stage, saying) == [saying.reason], saying
        assert not any(market.told(saying) for market in markets)
    assert untidy_lines(operator) == []
    await asyncio.to_thread(operator.stop)
    assert operator.exit_code == 0


def told(stage: Stage, saying: Saying) -> list[str]:
    """The reasons of the Events on the operator's Lease with these words."""
    return [each["reason"] for each in stage.events() if saying.words in each["message"]]
