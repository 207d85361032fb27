"""The keyed work queue and the workers that empty it."""

from gomatch_operator.work.queue import KeyedQueue
from gomatch_operator.work.workers import Outcome, Workers

__all__ = ["KeyedQueue", "Outcome", "Workers"]
