"""A CRD that is older than the operator is noticed, and that it is not any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest
import yaml

from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.crd import CrdWatch, missing_fields
from gomatch_operator.errors import Forbidden
from tests.fixtures.market_schema import CRD_FILE


@pytest.fixture
def crd() -> dict[str, Any]:
    return dict(yaml.safe_load(CRD_FILE.read_text()))


def _fields(crd: Mapping[str, Any]) -> dict[str, Any]:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return cast("dict[str, Any]", schema["properties"]["spec"]["properties"])


class Server:
    """``content`` is the CRD, or what is raised instead."""

    def __init__(self, content: dict[str, Any] | Forbidden) -> None:
        self.content = content

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        assert (kind, namespace, name) == ("CustomResourceDefinition", "", names.CRD_NAME)
        if isinstance(self.content, Forbidden):
            raise self.content
        return self.content


def test_the_crd_of_this_release_lacks_nothing(crd: dict[str, Any]) -> None:
    assert missing_fields(crd) == ()


def test_fields_that_are_missing_are_named(crd: dict[str, Any]) -> None:
    del _fields(crd)["snapshot"], _fields(crd)["standbys"]

    assert missing_fields(crd) == ("standbys", "snapshot")


def test_a_crd_without_our_version_is_too_old(crd: dict[str, Any]) -> None:
    crd["spec"]["versions"][0]["name"] = "v1alpha0"

    assert missing_fields(crd) == ("version v1alpha1",)


async def test_a_fault_is_news_once_and_so_is_its_end(crd: dict[str, Any]) -> None:
    server = Server(crd)
    watch = CrdWatch(cast("ClusterApi", server))
    removed = _fields(crd).pop("snapshot")
    assert [await watch.look(), await watch.look()] == [True, False]
    assert watch.fault is not None
    assert watch.fault.reason == "CrdTooOld"
    assert "lacks snapshot" in watch.fault.message

    _fields(crd)["snapshot"] = removed
    assert [await watch.look(), await watch.look()] == [True, False]
    assert watch.fault is None


async def test_a_crd_that_may_not_be_read_is_taken_for_as_it_was(crd: dict[str, Any]) -> None:
    server = Server(crd)
    watch = CrdWatch(cast("ClusterApi", server))
    del _fields(crd)["snapshot"]
    await watch.look()
    server.content = Forbidden("no right")

    assert not await watch.look()
    assert watch.fault is not None
