"""What was not accepted: counted by its code, and told at debug level with what names the order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gomatch.observability import logs
from gomatch_api.metrics import ApiMetrics
from gomatch_api.problems import Problem
from gomatch_api.requests import AmendItem, AnyItem, CancelItem, NewOrderRequest
from gomatch_api.responses import ItemResult

_log = logs.get(__name__)


class Refusals:
    def __init__(self, metrics: ApiMetrics) -> None:
        self._metrics = metrics

    def whole(self, problem: Problem, *, user: int, commands: int = 1) -> None:
        """All of a request was refused; what cannot be read counts as one command."""
        code = problem.code.code
        self._metrics.commands.labels(code).inc(commands)
        if logs.debugging(__name__):
            _log.debug(
                "request_refused", code=code, field=problem.field, user=user, commands=commands
            )

    def items(
        self, user: int, items: Sequence[AnyItem | Problem], results: Sequence[ItemResult]
    ) -> None:
        """Each item that has a problem for its result."""
        refused = Counter(result.problem.code for result in results if result.problem is not None)
        if not refused:
            return
        for code, count in refused.items():
            self._metrics.commands.labels(code).inc(count)
        if not logs.debugging(__name__):
            return
        for item, result in zip(items, results, strict=True):
            if result.problem is not None:
                _log.debug(
                    "order_refused",
                    code=result.problem.code,
                    field=result.problem.field,
                    user=user,
                    **_names(item),
                )


def _names(item: AnyItem | Problem) -> dict[str, str]:
    """What the client called the order, as far as it is there."""
    names: dict[str, str | None] = {}
    if isinstance(item, NewOrderRequest):
        names = {"market": item.market, "client_order_id": item.client_order_id}
    elif isinstance(item, CancelItem | AmendItem):
        names = {"order": item.id, "client_order_id": item.client_order_id}
    return {name: value[:100] for name, value in names.items() if value is not None}
