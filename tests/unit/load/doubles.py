"""A sender that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from gomatch.errors import ConnectionFailed
from gomatch.load.actions import Action
from gomatch.load.senders import Reply
from gomatch.load.wire import Acknowledged, ItemAnswer, ProblemAnswer


class ScriptedSender:
    """``replies`` are used up first; afterwards everything is acknowledged, under rising ids."""

    def __init__(self, *replies: Reply | ConnectionFailed) -> None:
        self.sent: list[list[Action]] = []
        self.closed = False
        self.after: Callable[[], None] = lambda: None
        self._replies = list(replies)
        self._numbers = count(1)

    async def send(self, actions: Sequence[Action]) -> Reply:
        self.sent.append(list(actions))
        self.after()
        if self._replies:
            reply = self._replies.pop(0)
            if isinstance(reply, ConnectionFailed):
                raise reply
            return reply
        return Reply([ItemAnswer(Acknowledged(f"A-B-{next(self._numbers)}")) for _ in actions])

    async def close(self) -> None:
        self.closed = True


def problem(code: str) -> ItemAnswer:
    return ItemAnswer(problem=ProblemAnswer(code))
