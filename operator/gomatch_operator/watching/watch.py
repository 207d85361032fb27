"""kopf, used to watch and for nothing else.

Only event handlers: they change nothing at the API server. kopf runs in a thread with an event loop
of its own, as its documentation has it for embedding, since it ends every task that began after it
in its loop. What it hears is read there and handed to ours.

Objects are read in kopf's thread, so that hashing them never holds a reconcile up.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import kopf

from gomatch.concurrency import Backoff
from gomatch.observability import logs
from gomatch_operator import names
from gomatch_operator.cluster.connection import login_with_kubeconfig
from gomatch_operator.cluster.reading import read_owned, read_pod
from gomatch_operator.market import Market, read_market
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.watched import OwnedObject, PodSummary

_log = logs.get(__name__)

OWNED_RESOURCES = (
    ("apps", "v1", "deployments"),
    ("", "v1", "configmaps"),
    ("", "v1", "services"),
    ("policy", "v1", "poddisruptionbudgets"),
    ("networking.k8s.io", "v1", "networkpolicies"),
)
_OURS = f"{names.LABEL_MANAGED_BY}={names.FIELD_MANAGER}"
_STOP_SECONDS = 10.0
_LOOK = 0.2
_FORGET_AFTER = 0.5
"""Seconds for which kopf keeps the last event of an object whole, and a task for it."""
_LONGEST_PAUSE = 5.0
_TRIES = 8


@dataclass(frozen=True, slots=True)
class Heard:
    """One event. ``listed``: it comes from a list and not from a change; ``gone``: deleted."""

    object: Market | OwnedObject | PodSummary | CanaryBeat
    listed: bool
    gone: bool


@dataclass(frozen=True, slots=True)
class CanaryBeat:
    beat: int


class _Flags:
    """Between the thread of kopf and its owner."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.ready = threading.Event()
        self.ending = threading.Event()
        """kopf ends, be it by itself."""
        self.loop: asyncio.AbstractEventLoop | None = None

    def break_off(self) -> None:
        """End what kopf left running: watches that were trying a call again wait for credentials
        then, which nobody gives out any more."""
        loop = self.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(_cancel_all, loop)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


class _Pauses:
    """Seconds between the tries of a call. Those of kopf are not random and grow to 21 s, for
    which long nothing would be heard though the API server is back."""

    def __iter__(self) -> Iterator[float]:
        backoff = Backoff(first=0.5, limit=_LONGEST_PAUSE)
        return (backoff.next_delay() for _ in range(_TRIES))


class Watch:
    """``run`` watches until it is cancelled, again and again should kopf end: it does so over
    errors such as a missing right, which then heal without a restart of the pod."""

    def __init__(
        self,
        settings: OperatorSettings,
        *,
        canary: str,
        kubeconfig: Path | None,
        prepare: Callable[[], Awaitable[tuple[str, ...]]],
        changed: asyncio.Event,
    ) -> None:
        """``canary`` is the name of the canary Lease; ``kubeconfig`` as for
        `cluster.connection.connect`. ``prepare`` is awaited before each start: it
        returns the namespaces that can be watched now, none for all, as kopf would wait for
        nothing. ``changed`` is set when it would return others."""
        self._settings = settings
        self._canary = canary
        self._kubeconfig = kubeconfig
        self._prepare = prepare
        self._changed = changed
        self.watching = False
        """Streams are open, as far as kopf knows."""
        self.restarts = 0

    async def run(self, heard: Callable[[Heard], None]) -> None:
        """``heard`` is called in this loop."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(first=1.0, limit=30.0)

        def hand_over(event: Heard) -> None:
            loop.call_soon_threadsafe(heard, event)

        while True:
            self.watching = False
            namespaces = await self._prepare()
            began = loop.time()
            why = await self._once(hand_over, namespaces)
            self.restarts += 1
            if loop.time() - began > 60.0:
                backoff.reset()
            delay = backoff.next_delay()
            _log.error("watch_ended", why=why, again_in=round(delay, 1))
            await asyncio.sleep(delay)

    async def _once(self, heard: Callable[[Heard], None], namespaces: tuple[str, ...]) -> str:
        """Until kopf ends by itself, or other namespaces can be watched; returns why."""
        flags = _Flags()
        failure: list[BaseException] = []

        def watch() -> None:
            try:
                asyncio.run(self._kopf(heard, namespaces, flags))
            except BaseException as error:  # noqa: BLE001 - told to the owner of the thread
                failure.append(error)

        thread = threading.Thread(target=watch, name="kopf", daemon=True)
        thread.start()
        try:
            patience = _STOP_SECONDS
            while thread.is_alive() and not self._changed.is_set():
                self.watching = flags.ready.is_set() and not flags.ending.is_set()
                await asyncio.sleep(_LOOK)
                patience -= _LOOK if flags.ending.is_set() else 0
                if patience <= 0:
                    patience = _STOP_SECONDS
                    flags.break_off()
        finally:
            flags.stop.set()
            await asyncio.to_thread(thread.join, _STOP_SECONDS)
        if self._changed.is_set():
            return "another namespace is served from now on"
        return repr(failure[0]) if failure else "kopf ended"

    async def _kopf(
        self, heard: Callable[[Heard], None], namespaces: tuple[str, ...], flags: _Flags
    ) -> None:
        flags.loop = asyncio.get_running_loop()
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.peering.standalone = True
        settings.process.ultimate_exiting_timeout = None
        settings.persistence.diffbase_storage = _NothingToCompare()
        settings.queueing.idle_timeout = _FORGET_AFTER
        settings.watching.chunk_size = 500
        settings.watching.inactivity_timeout = self._settings.watch_silence_seconds
        settings.networking.request_timeout = self._settings.request_timeout
        settings.networking.error_backoffs = _Pauses()
        for group, version, plural in (*OWNED_RESOURCES, ("", "v1", "pods")):
            settings.watching.label_selectors[group, version, plural] = _OURS
        settings.watching.field_selectors["coordination.k8s.io", "v1", "leases"] = (
            f"metadata.name={self._canary}"
        )
        try:
            await kopf.operator(
                registry=self._registry(heard, flags.ending),
                settings=settings,
                standalone=True,
                # Found out by kopf it would need an account with a name, which a container has not.
                identity=cast("Any", names.FIELD_MANAGER),
                clusterwide=not namespaces,
                namespaces=namespaces,
                stop_flag=flags.stop,
                ready_flag=flags.ready,
            )
        finally:
            # kopf waits for the flag in a thread of its own, which would keep this one for ever.
            flags.stop.set()

    def _registry(
        self, heard: Callable[[Heard], None], ending: threading.Event
    ) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY)(self._login)

        async def note_end(**_: Any) -> None:
            ending.set()

        kopf.on.cleanup(registry=registry)(note_end)

        def on(
            group: str, version: str, plural: str, read: Callable[[Mapping[str, Any]], Any]
        ) -> None:
            async def hear(event: Any, **_: Any) -> None:
                found = read(event["object"])
                if found is not None:
                    kind = event["type"]
                    heard(Heard(found, listed=kind is None, gone=kind == "DELETED"))

            kopf.on.event(group, version, plural, registry=registry, id=f"{plural}")(hear)

        on(names.GROUP, names.VERSION, names.PLURAL, read_market)
        for group, version, plural in OWNED_RESOURCES:
            kind = _KINDS[plural]
            on(group, version, plural, _reader(kind))
        on("", "v1", "pods", read_pod)
        on("coordination.k8s.io", "v1", "leases", _read_canary)
        return registry

    async def _login(self, **arguments: Any) -> Any:
        """Again whenever the API server refuses the token of before: its file is renewed."""
        if self._kubeconfig is None:
            return kopf.login_with_service_account(**arguments)
        return await login_with_kubeconfig(self._kubeconfig)


class _NothingToCompare(kopf.DiffBaseStorage):
    """Handlers of events are not told differences; finding them would copy each object whole."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        return {}

    def fetch(self, *, body: Any) -> Any:
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        return None


_KINDS = {
    "deployments": "Deployment",
    "configmaps": "ConfigMap",
    "services": "Service",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "networkpolicies": "NetworkPolicy",
}


def _reader(kind: str) -> Callable[[Mapping[str, Any]], OwnedObject]:
    """Objects of a list do not say their kind."""
    return lambda body: read_owned({**body, "kind": kind})


def _read_canary(body: Mapping[str, Any]) -> CanaryBeat | None:
    beat = (body.get("spec") or {}).get("leaseTransitions")
    return CanaryBeat(beat) if isinstance(beat, int) else None
