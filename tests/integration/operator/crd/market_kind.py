"""The kind Market at a real API server, asked as kubectl asks it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, cast

from kubernetes.client import ApiClient, ApiException, CustomObjectsApi

from tests.fixtures.market_schema import market


class Refused(Exception):
    """``lines`` are those that kubectl prints, each a field and what is wrong with it."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines

    @property
    def blamed(self) -> set[str]:
        """The fields at fault. What names none says only that not all rules were looked at."""
        return {line.partition(":")[0].lstrip(".") for line in self.lines} - {"<nil>"}


class MarketKind:
    """Markets of one namespace. Every method raises Refused when the API server refuses."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._api = CustomObjectsApi(client)
        self._numbers = count(1)

    def tried(self, spec: Mapping[str, Any], *, name: str = "btc-usdt") -> dict[str, Any]:
        """The Market that would be stored, defaults included. Nothing is."""
        return self._answer(
            self._api.create_namespaced_custom_object,
            body=market(spec, name=name),
            dry_run="All",
        )

    def created(self, spec: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Under a name of its own; ``more`` are further parts of the object beside its spec."""
        return self._answer(
            self._api.create_namespaced_custom_object,
            body={**market(spec, name=f"market-{next(self._numbers)}"), **more},
        )

    def changed(self, stored: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
        """``stored`` with this spec in place of its own."""
        return self._answer(
            self._api.replace_namespaced_custom_object,
            name=stored["metadata"]["name"],
            body={**stored, "spec": dict(spec)},
        )

    def status_written(
        self, stored: Mapping[str, Any], status: Mapping[str, Any], **more: Any
    ) -> dict[str, Any]:
        """``stored`` after a write of the status subresource; ``more`` as in ``created``."""
        return self._answer(
            self._api.replace_namespaced_custom_object_status,
            name=stored["metadata"]["name"],
            body={**stored, "status": dict(status), **more},
        )

    def _answer(self, call: Callable[..., object], **arguments: Any) -> dict[str, Any]:
        try:
            answer = call(
                group="gomatch.io",
                version="v1alpha1",
                plural="markets",
                namespace=self.namespace,
                field_validation="Strict",
                _request_timeout=20,
                **arguments,
            )
        except ApiException as error:
            raise Refused(_lines(json.loads(error.body or "{}"))) from error
        return cast("dict[str, Any]", answer)


def _lines(status: Mapping[str, Any]) -> list[str]:
    causes = status.get("details", {}).get("causes", [])
    return [f"{cause['field']}: {cause['message']}" for cause in causes] or [status["message"]]
