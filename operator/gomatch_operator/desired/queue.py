"""The Market's queue at RabbitMQ."""

from __future__ import annotations

from gomatch_operator.market import MarketSpec
from gomatch_operator.queue.desired_queue import DesiredQueue


def queue(spec: MarketSpec) -> DesiredQueue:
    return DesiredQueue(symbol=spec.symbol, max_length=spec.queue.max_length)
