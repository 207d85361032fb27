"""A new default image, which two Markets take one after the other."""

from __future__ import annotations

from gomatch_operator import conditions as c
from tests.fixtures.operator_process import Document
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.story import Story

_NEWER = "registry.example/gomatch-matcher:2"
_ROLLING = Saying(c.PROGRESSING, "True", "RollingOut")
_PENDING = Saying(c.PROGRESSING, "True", "RolloutPending")
_BLOCKED = Saying(c.PROGRESSING, "True", "RolloutBlocked")


async def _tell(stage: Stage) -> None:
    """No operator runs yet."""
    stage.start()
    markets = [stage.market(), stage.market()]
    for market in markets:
        await market.make_pods_ready()
        await market.says(Saying(c.PROGRESSING, "False", "Settled"))
    await stage.stop()
    before = {market: market.read()["metadata"]["resourceVersion"] for market in markets}

    stage.start(
        matcher={**stage.site.settings["matcher"], "image": _NEWER},
        rollout={"maxConcurrent": 1, "deadlineSeconds": 15},
    )
    first = await _one_of(markets, _ROLLING)
    [second] = [market for market in markets if market is not first]
    await second.says(_BLOCKED)
    assert _PENDING.reason in _told(second, since=before[second])
    assert _image(second) != _NEWER
    await first.make_pods_ready()
    await first.says(Saying(c.PROGRESSING, "False", "Settled"))
    await second.says(_ROLLING)
    assert _image(second) == _NEWER


async def _one_of(markets: list[StagedMarket], saying: Saying) -> StagedMarket:
    def so_far() -> list[StagedMarket]:
        return [
            market
            for market in markets
            if market.condition(saying.type).get("reason") == saying.reason
        ]

    await markets[0].stage_until(so_far, f"one with {saying}")
    return so_far()[0]


def _told(market: StagedMarket, *, since: str) -> list[str]:
    """The reasons of Progressing, one after the other."""
    conditions = [each for one in market.versions(since) for each in one["status"]["conditions"]]
    return [each["reason"] for each in conditions if each["type"] == c.PROGRESSING]


def _image(market: StagedMarket) -> str:
    deployment: Document | None = market.stage.get(market.deployment_path)
    assert deployment is not None
    image: str = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


ROLLOUT = Story(tell=_tell, says=(_ROLLING, _PENDING, _BLOCKED))
