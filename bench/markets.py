"""The operator with many Markets, on real servers and a real Kubernetes API without nodes.

All Markets are applied by eight `kubectl apply` at once, as one alone mostly waits. The clock runs
from their start until each Market has all its conditions for what was applied, with its claim and
queue in step. As nothing runs pods, no matcher leads. Writes are counted in the API server's audit
log until there have been none for a while. Kubernetes' own controllers go on for minutes, as they
write to so many objects at a rate of their own, and the operator hears of that. Once they have come
to rest, too, it idles, and now and then one Market is changed. At the end a Deployment and a queue
are deleted.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.cpu import cpu_seconds
from bench.operator_site import default_times, document, operator_site
from gomatch.concurrency import run_together
from gomatch_operator import names
from gomatch_operator.conditions import QUEUE_READY, STORE_READY, TYPES
from gomatch_operator.watching.watch import OWNED_RESOURCES
from tests.fixtures.operator_process import OperatorProcess, OperatorSite

_APPLY_SECONDS = 900.0
_APPLIERS = 8
_PAGE = 100
_DEADLINE = 1_800.0
_QUIET_SECONDS = 35.0
"""Longer than a sweep."""
_CHANGES = 10
_WATCHED = frozenset({names.PLURAL, "pods", *(plural for _, _, plural in OWNED_RESOURCES)})
_CONTROLLERS = "system:serviceaccount:kube-system:"
_IN_STEP = (STORE_READY, QUEUE_READY)


@dataclass(frozen=True, kw_only=True)
class Applying:
    """Seconds, seconds of CPU, bytes; ``writes`` by verb and resource."""

    applied: float
    complete: float
    cpu: float
    peak: int
    settled_cpu: float
    writes: Counter[str]


@dataclass(frozen=True, kw_only=True)
class Following:
    """``share`` of one core, while the operator only hears what others write: ``heard`` times."""

    seconds: float
    share: float
    heard: int


@dataclass(frozen=True, kw_only=True)
class Idling:
    """``share`` of one core; ``changes`` are the seconds until each changed Market was told so;
    ``heard`` counts what controllers wrote all the same."""

    seconds: float
    share: float
    changes: list[float]
    writes: Counter[str]
    heard: int


@dataclass(frozen=True, kw_only=True)
class ManyMarkets:
    count: int
    applying: Applying
    following: Following
    idling: Idling
    deployment: float
    queue: float

    def markdown(self) -> str:
        applying, following, idling = self.applying, self.following, self.idling
        each = sum(applying.writes.values()) / self.count
        lines = [
            f"{self.count:,} Markets in one namespace; sweep 30 s, outage 10 s, Lease 15 s.",
            "",
            "| what | aim | measured |",
            "|---|---:|---:|",
            f"| `kubectl apply` of all, by itself | | {applying.applied:.1f} s |",
            f"| from its start until every Market has all conditions | 300 s "
            f"| **{applying.complete:.1f} s** |",
            f"| the operator's CPU until then | 90 s | **{applying.cpu:.1f} s** |",
            f"| the same until it writes no more | | {applying.settled_cpu:.1f} s |",
            f"| its peak memory | 300 MB | **{applying.peak / 1e6:.0f} MB** |",
            f"| its writes for each Market | 12 | **{each:.2f}** |",
            f"| its CPU while it hears {following.heard:,} writes of controllers in "
            f"{following.seconds:.0f} s, of one core | | {following.share:.2%} |",
            f"| its CPU over {idling.seconds / 60:.1f} idle minutes, of one core, with "
            f"{idling.heard:,} such writes | 2 % | **{idling.share:.2%}** |",
            f"| a changed Market reconciled meanwhile, worst of {len(idling.changes)} | 2 s "
            f"| **{max(idling.changes):.2f} s** |",
            f"| a deleted Deployment back | at once | {self.deployment:.2f} s |",
            f"| a deleted queue back | 60 s | {self.queue:.1f} s |",
            "",
            "Writes at the API server, Leases apart:",
            "",
            "| write | for each Market | while idle, in all |",
            "|---|---:|---:|",
        ]
        lines += [
            f"| {name} | {applying.writes[name] / self.count:.3f} | {idling.writes[name]} |"
            for name in sorted(applying.writes | idling.writes)
        ]
        return "\n".join([*lines, ""])


async def measure(*, count: int, idle: float, program: list[str] | None = None) -> ManyMarkets:
    """``idle`` in seconds; ``program`` runs the operator, by default this Python."""
    async with operator_site() as site:
        operator = await asyncio.to_thread(site.start, program=program, **default_times())
        await _until(lambda: _ready(operator), "the operator is ready", every=0.2)
        applying = await _apply(site, operator, count)
        print(applying, flush=True)
        following = await _follow(site, operator)
        print(following, flush=True)
        idling = await _idle(site, operator, count, idle)
        print(idling, flush=True)
        deployment = await _deployment_back(site, f"{_name(count // 2)}-matcher")
        queue = await _queue_back(site, f"gomatch.orders.{document(count // 3)['spec']['symbol']}")
    return ManyMarkets(
        count=count,
        applying=applying,
        following=following,
        idling=idling,
        deployment=deployment,
        queue=queue,
    )


async def _apply(site: OperatorSite, operator: OperatorProcess, count: int) -> Applying:
    start = await asyncio.to_thread(site.plane.audit.position)
    cpu = cpu_seconds(operator.pid)
    files = [site.folder / f"markets-{part}.yaml" for part in range(_APPLIERS)]
    for part, file in enumerate(files):
        documents = map(document, range(part, count, _APPLIERS))
        await asyncio.to_thread(file.write_text, yaml.safe_dump_all(documents))
    began = time.perf_counter()
    await run_together(*(_kubectl_apply(site, file) for file in files))
    applied = time.perf_counter() - began
    await _until(lambda: _complete(site, count), "every Market has its conditions", every=2.0)
    complete = time.perf_counter() - began
    used = cpu_seconds(operator.pid) - cpu
    peak = _peak(operator.pid)
    await _quiet(site, operator)
    return Applying(
        applied=applied,
        complete=complete,
        cpu=used,
        peak=peak,
        settled_cpu=cpu_seconds(operator.pid) - cpu,
        writes=await asyncio.to_thread(_writes, site, start),
    )


async def _kubectl_apply(site: OperatorSite, file: Path) -> None:
    await asyncio.to_thread(
        site.plane.kubectl,
        *("-n", site.namespace, "apply", "-f", str(file)),
        timeout=_APPLY_SECONDS,
    )


async def _follow(site: OperatorSite, operator: OperatorProcess) -> Following:
    """Until nobody writes to what the operator watches."""
    cpu, began, heard = cpu_seconds(operator.pid), time.perf_counter(), 0
    while True:
        position = await asyncio.to_thread(site.plane.audit.position)
        await asyncio.sleep(_QUIET_SECONDS)
        more = await asyncio.to_thread(_heard, site, position)
        if not more:
            break
        heard += more
        if time.perf_counter() - began > _DEADLINE:
            raise TimeoutError("the controllers do not come to rest")
    took = time.perf_counter() - began
    return Following(seconds=took, share=(cpu_seconds(operator.pid) - cpu) / took, heard=heard)


async def _idle(
    site: OperatorSite, operator: OperatorProcess, count: int, seconds: float
) -> Idling:
    start = await asyncio.to_thread(site.plane.audit.position)
    cpu, began = cpu_seconds(operator.pid), time.perf_counter()
    changes = []
    for number in range(_CHANGES):
        due = began + seconds * (number + 0.5) / _CHANGES
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        changes.append(await _change(site, _name(number * count // _CHANGES)))
    await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
    took = time.perf_counter() - began
    return Idling(
        seconds=took,
        share=(cpu_seconds(operator.pid) - cpu) / took,
        changes=changes,
        writes=await asyncio.to_thread(_writes, site, start),
        heard=await asyncio.to_thread(_heard, site, start),
    )


async def _change(site: OperatorSite, name: str) -> float:
    """Seconds until its status tells of the change of its definition."""
    patch = json.dumps({"spec": {"maxOpenOrders": 100}})
    await asyncio.to_thread(site.kubectl, "patch", "market", name, "--type=merge", "-p", patch)
    began = time.perf_counter()
    await _until(lambda: _in_step(_market(site, name)), f"{name} tells of its change", every=0.02)
    return time.perf_counter() - began


async def _deployment_back(site: OperatorSite, name: str) -> float:
    path = f"/apis/apps/v1/namespaces/{site.namespace}/deployments/{name}"
    uid = _object(site, path)["metadata"]["uid"]
    await asyncio.to_thread(site.kubectl, "delete", "deployment", name, "--wait=false")
    began = time.perf_counter()

    def back() -> bool:
        try:
            return bool(_object(site, path)["metadata"]["uid"] != uid)
        except OSError:
            return False

    await _until(back, f"{name} is back", every=0.02)
    return time.perf_counter() - began


async def _queue_back(site: OperatorSite, name: str) -> float:
    path = site.broker.at("queues", name)
    await asyncio.to_thread(site.broker.delete, path)
    began = time.perf_counter()
    await _until(lambda: site.broker.get(path) is not None, f"{name} is back", every=0.2)
    return time.perf_counter() - began


async def _quiet(site: OperatorSite, operator: OperatorProcess) -> None:
    """Wait until nothing was written for longer than a sweep takes to come round."""
    deadline = time.monotonic() + _DEADLINE
    while True:
        position = await asyncio.to_thread(site.plane.audit.position)
        await asyncio.sleep(_QUIET_SECONDS)
        if not await asyncio.to_thread(_writes, site, position):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"the operator goes on writing: {operator.logged()[-2000:]}")


def _writes(site: OperatorSite, since: int) -> Counter[str]:
    return Counter(
        f"{event.verb} {event.resource}{'/' if event.subresource else ''}{event.subresource}"
        for event in site.plane.audit.writes(since, user=site.user)
        if event.resource != "leases"
    )


def _heard(site: OperatorSite, since: int) -> int:
    """Writes of Kubernetes' controllers to what the operator watches."""
    return sum(
        event.resource in _WATCHED and event.user.startswith(_CONTROLLERS)
        for event in site.plane.audit.writes(since)
    )


def _ready(operator: OperatorProcess) -> bool:
    if not operator.running:
        raise RuntimeError(f"the operator ended: {operator.logged()[-2000:]}")
    return bool(operator.events("listening")) and _leads(operator)


def _leads(operator: OperatorProcess) -> bool:
    answer = operator.get("/readyz")
    return answer.status_code == 200 and answer.json()["role"] == "leader"


def _complete(site: OperatorSite, count: int) -> bool:
    page, seen = _object(site, f"{_markets_path(site)}?limit={_PAGE}"), 0
    while all(_in_step(market) for market in page["items"]):
        seen += len(page["items"])
        more = page["metadata"].get("continue")
        if not more:
            return seen == count
        page = _object(site, f"{_markets_path(site)}?limit={_PAGE}&continue={more}")
    return False


def _in_step(market: dict[str, Any]) -> bool:
    """It has all conditions, each for the newest spec, and what has to be made is made."""
    conditions = {each["type"]: each for each in market.get("status", {}).get("conditions", [])}
    generation = market["metadata"]["generation"]
    return (
        conditions.keys() == set(TYPES)
        and all(each.get("observedGeneration") == generation for each in conditions.values())
        and all(conditions[kind]["status"] == "True" for kind in _IN_STEP)
    )


def _market(site: OperatorSite, name: str) -> dict[str, Any]:
    return _object(site, f"{_markets_path(site)}/{name}")


def _markets_path(site: OperatorSite) -> str:
    return f"/apis/gomatch.io/v1alpha1/namespaces/{site.namespace}/markets"


def _object(site: OperatorSite, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(site.plane.apiserver.get(path))
    return found


def _name(number: int) -> str:
    name: str = document(number)["metadata"]["name"]
    return name


def _peak(pid: int) -> int:
    """Most bytes of memory that the process has had."""
    [line] = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024


async def _until(true: Callable[[], bool], what: str, *, every: float) -> None:
    """Who gives no answer in time is asked again."""
    deadline = time.monotonic() + _DEADLINE
    while True:
        try:
            if await asyncio.to_thread(true):
                return
        except (OSError, httpx.HTTPError) as error:
            print(f"{what}? {error}", flush=True)
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_DEADLINE:.0f} s: {what}")
        await asyncio.sleep(every)
