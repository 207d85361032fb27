"""The parts of the active operator, put together, and their life from winning the Lease to its
end."""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

from kubernetes.aio.client import ApiClient

from gomatch.cache import RedisClient
from gomatch.concurrency import run_until_first
from gomatch.credentials import Endpoint
from gomatch.errors import SchemaMismatch, StoreUnavailable
from gomatch.observability import logs
from gomatch_operator.cache.keeper import MirrorKeeper
from gomatch_operator.cache.reconciler import CacheReconciler
from gomatch_operator.cache.stale_watch import StaleWatch
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.cluster.keeper import ClusterKeeper
from gomatch_operator.cluster.reconciler import ClusterReconciler
from gomatch_operator.crd import CrdWatch
from gomatch_operator.deletion import Deletion, DeletionParts
from gomatch_operator.events import Events
from gomatch_operator.fault_points import Checkpoint, no_checkpoint
from gomatch_operator.http import Health
from gomatch_operator.leadership import OperatorLeadership
from gomatch_operator.memory import Memories
from gomatch_operator.metrics import OperatorMetrics
from gomatch_operator.outages import Outages
from gomatch_operator.queue.keeper import QueueKeeper
from gomatch_operator.queue.management import ManagementApi
from gomatch_operator.queue.reconciler import QueueReconciler
from gomatch_operator.reconcile import MarketReconciler, ReconcilerParts
from gomatch_operator.rollouts import Rollouts
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.status import StatusWriter
from gomatch_operator.store import ClaimsSource, StoreReconciler
from gomatch_operator.store.keeper import StoreKeeper
from gomatch_operator.sweep import Sweep, SweepParts
from gomatch_operator.watched import Watched
from gomatch_operator.watching import Arrivals, Canary, Listing, Watch
from gomatch_operator.work import KeyedQueue, Workers

_log = logs.get(__name__)


class Operator:
    """``run`` waits for the Lease and leads until it is cancelled; once only. ``client``, which is
    closed by its owner, is of the same ``kubeconfig``; None: of the pod's ServiceAccount."""

    def __init__(
        self,
        settings: OperatorSettings,
        client: ApiClient,
        metrics: OperatorMetrics,
        *,
        kubeconfig: Path | None,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._settings = settings
        self._kubeconfig = kubeconfig
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._identity = f"{os.environ.get('HOSTNAME') or socket.gethostname()}/{uuid4().hex[:8]}"
        self._leadership = OperatorLeadership(
            client,
            name=settings.lease_name,
            namespace=settings.namespace,
            identity=self._identity,
            lease=settings.lease_seconds,
            renew_deadline=settings.renew_deadline,
            retry_period=settings.retry_period,
            call_timeout=settings.retry_period,
        )
        self._api = ClusterApi(
            client,
            timeout=settings.request_timeout,
            count=lambda verb: metrics.calls.labels(verb).inc(),
            # A process that was frozen goes on in the middle of a reconcile.
            permit=self._leadership.require,
        )
        namespace = settings.namespaces[0] if settings.namespaces else settings.namespace
        self._canary = Canary(
            self._api,
            namespace=namespace,
            name=f"{settings.lease_name}-canary",
            limit=settings.canary_seconds,
            watched=lambda: self._listing is not None and self._listing.watched(namespace),
        )
        self._listing: Listing | None = None

    async def run(self) -> None:
        """Raises LeadershipLost, and Fenced when PostgreSQL knows a later leader."""
        await self._leadership.run(self._lead)

    def health(self) -> Health:
        """A standby is ready. The one that leads is, once it knows what there is."""
        if not self._leadership.leading or self._listing is None:
            return Health(alive=True, ready=True, role="standby")
        deaf = self._canary.deaf
        problem = "the watches bring no changes any more" if deaf else self._listing.problem
        return Health(
            alive=not deaf,
            ready=self._listing.complete.is_set() and not deaf,
            role="leader",
            problem=problem,
        )

    async def _lead(self) -> None:
        settings, metrics = self._settings, self._metrics
        watched = Watched()
        work = KeyedQueue(limit=settings.queue_limit, refused=metrics.refused.inc)
        metrics.watch_queue(length=lambda: work.length, oldest=work.oldest_seconds)
        arrivals = Arrivals(watched, work, beat=self._canary.heard)
        listing = Listing(self._api, watched, arrivals, namespaces=settings.namespaces)
        self._listing = listing
        watch = Watch(
            settings,
            canary=f"{settings.lease_name}-canary",
            kubeconfig=self._kubeconfig,
            prepare=listing.begin,
            changed=listing.changed,
        )
        metrics.leading.set(1)
        async with AsyncExitStack() as stack:
            stack.callback(metrics.leading.set, 0)
            source = self._source(stack)
            reconciler, sweep = self._reconciling(stack, source, watched, work)

            async def work_off() -> None:
                # Before everything is known, all would look as if it were missing.
                await listing.complete.wait()
                await self._begin_term(source)
                await sweep.begin()
                reconciler.begin()
                workers = Workers(
                    work, reconciler.reconcile, count=settings.workers, metrics=metrics
                )
                await run_until_first(workers.run(), sweep.run())

            await run_until_first(
                watch.run(arrivals), listing.run(), work_off(), self._canary.run()
            )

    async def _begin_term(self, source: ClaimsSource) -> None:
        """An older operator that still runs, frozen perhaps, writes no more from here on."""
        installation = self._settings.installation
        try:
            claims = await source.claims()
            await self._leadership.outlast(await claims.recorded_term(installation))
            await claims.begin_term(installation, self._leadership.term)
        except (StoreUnavailable, SchemaMismatch) as error:
            # Each write will do the same, once there is an answer.
            _log.warning("term_not_begun", why=str(error))

    def _source(self, stack: AsyncExitStack) -> ClaimsSource:
        postgres = self._settings.servers.postgres
        source = ClaimsSource(
            Endpoint(postgres.url, postgres.credentials), timeout=self._settings.request_timeout
        )
        stack.push_async_callback(source.close)
        return source

    def _reconciling(
        self, stack: AsyncExitStack, source: ClaimsSource, watched: Watched, work: KeyedQueue
    ) -> tuple[MarketReconciler, Sweep]:
        settings, metrics, leadership = self._settings, self._metrics, self._leadership
        timeout = settings.request_timeout
        servers = settings.servers
        management = ManagementApi(
            servers.rabbitmq.management_url,
            vhost=servers.rabbitmq.vhost,
            credentials=servers.rabbitmq.credentials,
            timeout=timeout,
            ca=servers.rabbitmq.management_ca,
        )
        stack.push_async_callback(management.close)
        redis = RedisClient(Endpoint(servers.redis.url, servers.redis.credentials), timeout=timeout)
        stack.push_async_callback(redis.close)
        outages = Outages(limit=settings.outage_seconds)
        memories = Memories(installation=settings.installation)
        rollouts = Rollouts(
            target=settings.matcher.image,
            max_concurrent=settings.rollout.max_concurrent,
            deadline=settings.rollout.deadline_seconds,
            wake=lambda key: work.add(key, urgent=False),
        )
        events = Events(
            self._api,
            instance=self._identity,
            namespace=settings.namespace,
            lease=settings.lease_name,
        )
        queue = QueueKeeper(
            QueueReconciler(management),
            outages=outages,
            leadership=leadership,
            checkpoint=self._checkpoint,
        )
        mirror = MirrorKeeper(
            CacheReconciler(redis),
            StaleWatch(stale_seconds=settings.stale_seconds),
            outages=outages,
            leadership=leadership,
        )
        cluster = ClusterKeeper(
            ClusterReconciler(self._api, watched),
            settings=settings,
            watched=watched,
            rollouts=rollouts,
            leadership=leadership,
            checkpoint=self._checkpoint,
        )
        crd = CrdWatch(self._api)
        deletion = DeletionParts(
            settings=settings,
            watched=watched,
            source=source,
            api=self._api,
            cluster=cluster,
            queue=queue,
            mirror=mirror,
            events=events,
            outages=outages,
            leadership=leadership,
            checkpoint=self._checkpoint,
        )
        store = StoreKeeper(
            StoreReconciler(source, backlog_limit=settings.backlog_limit),
            source,
            watched=watched,
            outages=outages,
            leadership=leadership,
            checkpoint=self._checkpoint,
        )
        reconciler = MarketReconciler(
            ReconcilerParts(
                settings=settings,
                watched=watched,
                leadership=leadership,
                api=self._api,
                store=store,
                queue=queue,
                mirror=mirror,
                cluster=cluster,
                deletion=Deletion(deletion),
                rollouts=rollouts,
                status=StatusWriter(self._api, interval=settings.status_seconds),
                events=events,
                memories=memories,
                outages=outages,
                metrics=metrics,
                crd_fault=lambda: crd.fault,
                checkpoint=self._checkpoint,
            )
        )
        sweep = Sweep(
            SweepParts(
                settings=settings,
                watched=watched,
                work=work,
                source=source,
                queue=queue,
                mirror=mirror,
                rollouts=rollouts,
                memories=memories,
                outages=outages,
                events=events,
                leadership=leadership,
                metrics=metrics,
                deletion=deletion,
                crd=crd,
            )
        )
        return reconciler, sweep
