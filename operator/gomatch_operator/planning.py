"""What would be done for a Market that is in a file, as things stand now: nothing is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from gomatch.credentials import Endpoint
from gomatch.errors import ConfigurationError, StoreError
from gomatch.store import ClaimedMarket
from gomatch_operator import names
from gomatch_operator.actions import Action
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.connection import connect
from gomatch_operator.cluster.planning import foreign
from gomatch_operator.cluster.projection import KINDS
from gomatch_operator.cluster.reading import read_owned
from gomatch_operator.cluster.reconciler import ClusterReconciler
from gomatch_operator.desired import chosen_image, desired
from gomatch_operator.errors import BrokerError, ClusterError, ObjectMissing
from gomatch_operator.market import Market, definition, read_market, trading_state
from gomatch_operator.queue.management import ManagementApi
from gomatch_operator.queue.reconciler import QueueReconciler
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.store import ClaimsSource, StoreReconciler, Wanted
from gomatch_operator.store.keeper import owner_of
from gomatch_operator.watched import Watched

_NEVER_APPLIED = "00000000-0000-0000-0000-000000000000"


async def plan_market(
    body: Mapping[str, Any], settings: OperatorSettings, kubeconfig: Path | None
) -> Sequence[str]:
    """One line for each action, or for a server that could not be asked. Raises
    ConfigurationError for a Market that cannot work or an API server that cannot be used."""
    market = _market(body, settings)
    spec = market.spec
    if spec is None:
        raise ConfigurationError(f"the Market cannot be read: {market.problem}")
    definition(spec).config()
    lines: list[str] = []
    async with AsyncExitStack() as stack:
        client = await connect(kubeconfig)
        stack.push_async_callback(client.close)
        api = ClusterApi(client, timeout=settings.request_timeout)
        market = await _as_applied(api, market)
        lines += await _store_lines(stack, market, settings)
        lines += await _queue_lines(stack, market, settings)
        lines += await _cluster_lines(api, market, settings)
    return lines or ["nothing: all is as desired"]


def _market(body: Mapping[str, Any], settings: OperatorSettings) -> Market:
    """A file has no uid and no time of creation yet."""
    metadata = {
        "namespace": settings.namespaces[0] if settings.namespaces else "default",
        "uid": _NEVER_APPLIED,
        "creationTimestamp": "1970-01-01T00:00:00Z",
        **(body.get("metadata") or {}),
    }
    if "name" not in metadata:
        raise ConfigurationError("the Market has no metadata.name")
    return read_market({**body, "metadata": metadata})


async def _as_applied(api: ClusterApi, market: Market) -> Market:
    """With the uid of the Market of that name, if there is one."""
    try:
        live = read_market(await api.get(names.KIND, *market.key))
    except ObjectMissing:
        return market
    return Market(
        key=market.key,
        uid=live.uid,
        generation=live.generation,
        resource_version=live.resource_version,
        created_at=live.created_at,
        deleting=live.deleting,
        annotations=market.annotations,
        finalizers=live.finalizers,
        spec=market.spec,
        status=live.status,
    )


async def _store_lines(
    stack: AsyncExitStack, market: Market, settings: OperatorSettings
) -> list[str]:
    assert market.spec is not None
    server = settings.servers.postgres
    source = ClaimsSource(
        Endpoint(server.url, server.credentials), timeout=settings.request_timeout
    )
    stack.push_async_callback(source.close)
    reconciler = StoreReconciler(source, backlog_limit=settings.backlog_limit)
    wanted = Wanted(
        owner=owner_of(market, settings.installation),
        definition=definition(market.spec),
        state=trading_state(market.spec.state),
        resume=market.annotations.get(names.ANNOTATION_RESUME),
        adopt=market.annotations.get(names.ANNOTATION_ADOPT) == market.spec.symbol,
    )
    try:
        row: ClaimedMarket | None = await reconciler.observe(wanted.symbol)
    except StoreError as error:
        return [f"store: not asked ({error})"]
    return _lines(reconciler.plan(wanted, row))


async def _queue_lines(
    stack: AsyncExitStack, market: Market, settings: OperatorSettings
) -> list[str]:
    assert market.spec is not None
    broker = settings.servers.rabbitmq
    management = ManagementApi(
        broker.management_url,
        vhost=broker.vhost,
        credentials=broker.credentials,
        timeout=settings.request_timeout,
        ca=broker.management_ca,
    )
    stack.push_async_callback(management.close)
    reconciler = QueueReconciler(management)
    wanted = desired(market, settings, image=settings.matcher.image).queue
    try:
        inventory = await reconciler.observe()
    except BrokerError as error:
        return [f"queue: not asked ({error})"]
    lines = []
    for found in (reconciler.plan_shared(inventory), reconciler.plan(wanted, inventory)):
        lines += [f"queue: conflict ({found.foreign})"] if found.foreign else []
        lines += _lines(found.actions)
    return lines


async def _cluster_lines(api: ClusterApi, market: Market, settings: OperatorSettings) -> list[str]:
    assert market.spec is not None
    watched = Watched()
    for kind in KINDS:
        try:
            live = await api.get(kind, market.key.namespace, names.matcher_name(market.key.name))
        except ObjectMissing:
            continue
        except ClusterError as error:
            return [f"cluster: not asked ({error})"]
        watched.keep_owned(read_owned({**live, "kind": kind}))
    image = chosen_image(market.spec, settings.matcher.image)
    wanted = desired(market, settings, image=image)
    lines = [f"cluster: conflict ({message})" for message in foreign(wanted, watched)]
    return lines + _lines(ClusterReconciler(api, watched).plan(wanted, watched))


def _lines(actions: Sequence[Action]) -> list[str]:
    return [str(action) for action in actions]
