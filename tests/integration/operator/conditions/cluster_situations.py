"""What the API server refuses, and pods that do not start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from gomatch_operator import conditions as c
from tests.fixtures.operator_process import Document, until
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying, StagedMarket
from tests.integration.operator.conditions.situation import Situation
from tests.integration.operator.conditions.spec_situations import STARTING

_ROLE = {"group": "rbac.authorization.k8s.io"}
_NO_LEADER = Saying(c.MATCHER_AVAILABLE, "False", "NoLeader")
_NO_CONFLICT = Saying(c.CONFLICT, "False", "NoConflict")


async def no_room_for_deployments(stage: Stage) -> AsyncIterator[StagedMarket]:
    async for market in _within_quota(stage, "count/deployments.apps"):
        yield market


async def no_room_for_config_maps(stage: Stage) -> AsyncIterator[StagedMarket]:
    async for market in _within_quota(stage, "count/configmaps"):
        yield market


async def no_room_for_pods(stage: Stage) -> AsyncIterator[StagedMarket]:
    async for market in _within_quota(stage, "count/pods"):
        yield market


async def a_right_is_missing(stage: Stage) -> AsyncIterator[StagedMarket]:
    roles = stage.path("roles", **_ROLE)
    listed = stage.get(roles)
    assert listed is not None
    changed: list[Document] = []
    for role in listed["items"]:
        if any("deployments" in rule.get("resources", ()) for rule in role["rules"]):
            fewer = [rule for rule in role["rules"] if "deployments" not in rule["resources"]]
            kept = {
                "apiGroups": ["apps"],
                "resources": ["deployments"],
                "verbs": ["get", "list", "watch"],
            }
            stage.patch(f"{roles}/{role['metadata']['name']}", {"rules": [*fewer, kept]})
            changed.append(role)
    assert changed
    site = stage.site
    asked = {"group": "apps", "namespace": stage.namespace}
    await until(lambda: not site.plane.allows(site.user, "create", "deployments", **asked))
    yield stage.market()
    for role in changed:
        stage.patch(f"{roles}/{role['metadata']['name']}", {"rules": role["rules"]})


async def no_such_priority(stage: Stage) -> AsyncIterator[StagedMarket]:
    """The API server takes the Deployment and refuses its pods."""
    market = stage.market(matcher={"priorityClassName": "missing"})
    yield market
    market.change(matcher={"priorityClassName": None})
    await market.make_pods_ready()


async def strange_deployment(stage: Stage) -> AsyncIterator[StagedMarket]:
    labels = {"app": "theirs"}
    container = {"name": "it", "image": "registry.example/theirs:1"}
    body = {
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        }
    }
    deployments = stage.path("deployments", group="apps")
    async for market in _beside(stage, deployments, "apps/v1", "Deployment", body):
        yield market


async def strange_config_map(stage: Stage) -> AsyncIterator[StagedMarket]:
    body = {"data": {"theirs": "yes"}}
    async for market in _beside(stage, stage.path("configmaps"), "v1", "ConfigMap", body):
        yield market


async def no_image(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market()
    await market.make_pod_wait("ImagePullBackOff", "no such image")
    yield market
    await market.make_pods_ready()


async def no_secret(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market()
    await market.make_pod_wait("CreateContainerConfigError", 'secret "callback" not found')
    yield market
    await market.make_pods_ready()


async def no_mount(stage: Stage) -> AsyncIterator[StagedMarket]:
    """The kubelet says it in an Event and nowhere else."""
    market = stage.market()
    pod = await market.bind_pod("a-node")
    stage.create(
        stage.path("events"),
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{pod}.1", "namespace": stage.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": stage.namespace,
                "name": pod,
                "uid": (await market.pod())["metadata"]["uid"],
            },
            "reason": "FailedMount",
            "type": "Warning",
            "message": 'MountVolume.SetUp failed: secret "gomatch-postgres" not found',
            "source": {"component": "kubelet"},
        },
    )
    yield market
    await market.make_pods_ready()


async def crash_loop(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market()
    await market.make_pod_wait("CrashLoopBackOff", "back-off 40s restarting failed container")
    yield market
    await market.make_pods_ready()


async def no_node(stage: Stage) -> AsyncIterator[StagedMarket]:
    market = stage.market()
    scheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: insufficient memory",
    }
    await market.tell_pods(phase="Pending", conditions=[scheduled])
    yield market
    await market.make_pods_ready()


async def _within_quota(stage: Stage, counted: str) -> AsyncIterator[StagedMarket]:
    with _quota(stage, counted):
        await until(lambda: _holds(stage))
        yield stage.market()


@contextmanager
def _quota(stage: Stage, counted: str) -> Iterator[None]:
    """Not one more of these, nor of Secrets."""
    quotas = stage.path("resourcequotas")
    stage.create(
        quotas,
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "tight"},
            "spec": {"hard": {counted: "0", "count/secrets": "0"}},
        },
    )
    try:
        yield
    finally:
        stage.delete(f"{quotas}/tight")


def _holds(stage: Stage) -> bool:
    """The API server goes by the quota: it hears of it a moment after others do."""
    answer = stage.kube.post(
        stage.path("secrets"),
        params={"dryRun": "All"},
        json={"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one-more"}},
    )
    return answer.status_code == 403


async def _beside(
    stage: Stage, path: str, api_version: str, kind: str, body: Document
) -> AsyncIterator[StagedMarket]:
    """A Market whose object of this kind is there before it."""
    number = stage.number()
    market = StagedMarket(stage, f"s{number}", f"S{number}-USDT")
    metadata = {"name": market.owned, "namespace": stage.namespace}
    stage.create(path, {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body})
    stage.market(name=market.name, symbol=market.symbol)
    yield market
    theirs = stage.get(f"{path}/{market.owned}")
    assert theirs is not None
    assert "ownerReferences" not in theirs["metadata"]
    stage.delete(f"{path}/{market.owned}")


def _no(reason: str, words: str) -> Saying:
    return Saying(c.MATCHER_AVAILABLE, "False", reason, words)


SITUATIONS = (
    Situation(
        name="a quota leaves no room for Deployments",
        arrange=no_room_for_deployments,
        says=(
            _no("QuotaExceeded", "exceeded quota: tight"),
            Saying(c.READY, "False", "MatcherNotAvailable", "exceeded quota"),
            Saying(c.PROGRESSING, "False", "Blocked", "exceeded quota"),
        ),
        afterwards=(STARTING,),
    ),
    Situation(
        name="a quota leaves no room for ConfigMaps",
        arrange=no_room_for_config_maps,
        says=(_no("QuotaExceeded", "exceeded quota: tight"),),
        afterwards=(STARTING,),
    ),
    Situation(
        name="a quota leaves no room for pods",
        arrange=no_room_for_pods,
        says=(_no("QuotaExceeded", "exceeded quota: tight"),),
    ),
    Situation(
        name="the operator lacks a right",
        arrange=a_right_is_missing,
        says=(_no("Forbidden", "deployments"),),
        afterwards=(STARTING,),
    ),
    Situation(
        name="the API server refuses the pods",
        arrange=no_such_priority,
        says=(_no("ClusterRefused", "missing"),),
        afterwards=(_NO_LEADER,),
    ),
    Situation(
        name="somebody else's Deployment has the name",
        arrange=strange_deployment,
        says=(
            Saying(c.CONFLICT, "True", "ForeignObject", "Deployment"),
            Saying(c.READY, "False", "Conflict", "Deployment"),
        ),
        afterwards=(_NO_CONFLICT, STARTING),
    ),
    Situation(
        name="somebody else's ConfigMap has the name",
        arrange=strange_config_map,
        says=(Saying(c.CONFLICT, "True", "ForeignObject", "ConfigMap"),),
        afterwards=(_NO_CONFLICT, STARTING),
    ),
    Situation(
        name="the image cannot be pulled",
        arrange=no_image,
        says=(_no("ImagePullFailed", "no such image"),),
        afterwards=(_NO_LEADER,),
    ),
    Situation(
        name="a Secret of the environment is missing",
        arrange=no_secret,
        says=(_no("SecretNotFound", "callback"),),
        afterwards=(_NO_LEADER,),
    ),
    Situation(
        name="a Secret cannot be mounted",
        arrange=no_mount,
        says=(_no("SecretNotFound", "gomatch-postgres"),),
        afterwards=(_NO_LEADER,),
    ),
    Situation(
        name="the matcher ends again and again",
        arrange=crash_loop,
        says=(_no("CrashLooping", "back-off"),),
        afterwards=(_NO_LEADER,),
    ),
    Situation(
        name="no node takes the pod",
        arrange=no_node,
        says=(_no("Unschedulable", "insufficient memory"),),
        afterwards=(_NO_LEADER,),
    ),
)
