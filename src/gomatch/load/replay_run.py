"""Runs a replay with its user's stream beside it."""

from __future__ import annotations

from gomatch.errors import LoadError
from gomatch.load.http import HttpConnection
from gomatch.load.listening import Listening
from gomatch.load.lobster import Recording
from gomatch.load.pacing import Budget
from gomatch.load.plan import LoadPlan
from gomatch.load.replay import RecordingEncoder, Replay
from gomatch.load.senders import RestBatches, Sender, StreamBatches
from gomatch.load.statistics import LoadReport, Statistics


class ReplayRun:
    """``prefix`` makes this run's client order ids unique. Raises LoadError unless the plan has
    exactly one market."""

    def __init__(self, plan: LoadPlan, recording: Recording, *, speed: float, prefix: str) -> None:
        if len(plan.markets) != 1:
            raise LoadError("a recording is sent into one market: name it with --market")
        self._plan = plan
        self._recording = recording
        self._speed = speed
        self._prefix = prefix
        self.statistics = Statistics()

    async def run(self) -> LoadReport:
        """Raises LoadError when the stream cannot be subscribed."""
        plan = self._plan
        async with Listening(plan, self.statistics) as listening:
            sender: Sender
            if plan.via == "ws":
                sender = StreamBatches(listening.users[0])
            else:
                connection = HttpConnection(plan.url, token=plan.tokens[0], timeout=plan.timeout)
                sender = RestBatches(connection)
            self.statistics.reset()
            replay = Replay(
                self._recording,
                encoder=RecordingEncoder(plan.markets[0], prefix=self._prefix),
                sender=sender,
                speed=self._speed,
                batch=plan.batch,
                budget=Budget(orders=plan.orders, seconds=plan.seconds),
                statistics=self.statistics,
                fills=listening.fills,
                results=listening.results[0][plan.markets[0].symbol],
            )
            await replay.run()
            self.statistics.finish()
            await listening.settle()
            return self.statistics.report()
