"""Which role each pod is given, and why one cannot start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gomatch_operator.cluster.api import Body, ClusterApi
from gomatch_operator.errors import Forbidden, ObjectMissing
from gomatch_operator.pods import mark_roles, mount_problem
from tests.fixtures.example_facts import example_pod

LEADER, STANDBY = example_pod("a"), example_pod("b")
MARKED = (
    example_pod("a", role="leader", deletion_cost="1000"),
    example_pod("b", role="standby", deletion_cost="0"),
)


class Api(ClusterApi):
    def __init__(self) -> None:
        self.patched: dict[str, tuple[str, str]] = {}
        self.refusal: dict[str, Exception] = {}
        self.events: list[str] = []
        self.asked: list[str] = []

    async def merge_patch(
        self, kind: str, namespace: str, name: str, patch: Body, *, subresource: str = ""
    ) -> dict[str, Any]:
        if name in self.refusal:
            raise self.refusal[name]
        metadata = patch["metadata"]
        self.patched[name] = (*metadata["labels"].values(), *metadata["annotations"].values())
        return {}

    async def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[dict[str, Any]]:
        self.asked.append(field_selector)
        for message in self.events:
            yield {"message": message}


@pytest.fixture
def api() -> Api:
    return Api()


async def test_the_leader_is_the_last_to_be_scaled_away(api: Api) -> None:
    assert await mark_roles(api, [LEADER, STANDBY], leader="a") == 2
    assert api.patched == {"a": ("leader", "1000"), "b": ("standby", "0")}


async def test_pods_that_have_their_role_are_left_alone(api: Api) -> None:
    assert await mark_roles(api, MARKED, leader="a") == 0
    assert await mark_roles(api, MARKED, leader="b") == 2
    assert api.patched == {"a": ("standby", "0"), "b": ("leader", "1000")}


async def test_a_pod_that_goes_is_left_alone_and_one_that_is_gone_is_no_error(api: Api) -> None:
    api.refusal["a"] = ObjectMissing("gone")
    going = example_pod("c", deleting=True)

    assert await mark_roles(api, [LEADER, STANDBY, going], leader="a") == 1
    assert list(api.patched) == ["b"]
    api.refusal["b"] = Forbidden("no right")
    with pytest.raises(Forbidden):
        await mark_roles(api, [LEADER, STANDBY], leader="a")


async def test_nobody_is_made_a_standby_of_a_leader_that_is_not_known(api: Api) -> None:
    assert await mark_roles(api, [LEADER, STANDBY], leader="elsewhere") == 0
    assert api.patched == {}


def waiting(**changes: Any) -> Any:
    return example_pod("a", **{"ready": False, "phase": "Pending", "created_at": 5, **changes})


async def test_a_volume_that_cannot_be_mounted_is_told_in_the_words_of_the_kubelet(
    api: Api,
) -> None:
    api.events = ['secret "gomatch-postgres" not found']

    said = await mount_problem(api, [waiting()], before=10)
    assert said == 'a: secret "gomatch-postgres" not found'
    assert api.asked == ["involvedObject.uid=uid of a,reason=FailedMount"]


@pytest.mark.parametrize(
    "pod",
    [
        waiting(created_at=11),
        waiting(phase="Running"),
        waiting(node=""),
        waiting(unschedulable="0/3 nodes"),
        waiting(waiting_reason="ErrImagePull"),
    ],
    ids=["young", "running", "on no node", "unschedulable", "waits for its image"],
)
async def test_nobody_is_asked_about_a_pod_that_waits_for_no_volume(api: Api, pod: Any) -> None:
    api.events = ["something"]

    assert await mount_problem(api, [pod], before=10) == ""
    assert api.asked == []
