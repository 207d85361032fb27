"""What may befall a Market, what its conditions say of it, and what they say once it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket

Arrangement = Callable[[Stage], AsyncIterator[StagedMarket]]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """``arrange`` brings it about, yields a Market in it, and removes the cause afterwards.

    ``on_operator`` is the reason of the one Event that tells of an outage, on the operator's Lease
    and on no Market.
    """

    name: str
    arrange: Arrangement
    says: tuple[Saying, ...]
    afterwards: tuple[Saying, ...] = ()
    on_operator: str = ""

    async def happen(self, stage: Stage) -> None:
        before = self._told(stage)
        async with asynccontextmanager(self.arrange)(stage) as market:
            for saying in self.says:
                await market.says(saying)
            if self.on_operator:
                told = f"an Event on the Lease, {self.on_operator}"
                await market.stage_until(lambda: self._told(stage) == before + 1, told)
            for saying in self.says:
                at_most = 0 if saying.reason == self.on_operator else 1
                assert market.told(saying) <= at_most, saying
        for saying in self.afterwards:
            await market.says(saying)
        assert self._told(stage) == before + bool(self.on_operator)

    def _told(self, stage: Stage) -> int:
        return sum(event["reason"] == self.on_operator for event in stage.events())
