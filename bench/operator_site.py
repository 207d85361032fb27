"""What an operator needs, as real processes and without nodes: a Kubernetes API, PostgreSQL with
fsync on, RabbitMQ with its management API, and Valkey; and the rights that the chart gives."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.venue import REPOSITORY
from gomatch.cli.servers import PostgresServer, RabbitServer, RedisServer
from gomatch.store import migrate
from gomatch_operator.settings import OperatorSettings
from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.management import BrokerAdmin, CredentialFiles
from tests.fixtures.operator_process import OperatorSite, chart_documents, grant_rights
from tests.fixtures.programs import built_programs

_NAMESPACE = "venue"
_BROKER_USER = "operator"
_PASSWORD = "as good as any"
_KIND_SECONDS = 60.0
_TIMES = (
    *("lease_seconds", "renew_deadline", "retry_period", "sweep_seconds", "status_seconds"),
    *("outage_seconds", "stale_seconds", "request_timeout"),
)


def default_times() -> dict[str, Any]:
    """What production has where the tests are in more of a hurry, by the names in the file."""
    fields = OperatorSettings.model_fields
    return {str(fields[name].alias): fields[name].default for name in _TIMES}


@asynccontextmanager
async def operator_site() -> AsyncIterator[OperatorSite]:
    """Servers in a new folder, removed at the end; no operator runs yet."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gomatch-bench-")))
        await asyncio.to_thread(folder.chmod, 0o711)
        postgres = PostgresServer(folder / "postgres")
        redis = RedisServer(folder / "redis")
        rabbitmq = RabbitServer(folder / "rabbitmq", tools=REPOSITORY / ".tools", management=True)
        for server in (postgres, redis, rabbitmq):
            stack.push_async_callback(server.stop)
            await server.start()
        await migrate(postgres.url)
        plane = ControlPlane(folder / "kubernetes", programs=built_programs("kubeall", "etcd"))
        stack.callback(plane.stop_now)
        await asyncio.to_thread(plane.start_now)
        site = await asyncio.to_thread(
            _site, folder=folder, plane=plane, postgres=postgres, redis=redis, rabbitmq=rabbitmq
        )
        stack.callback(site.broker.close)
        stack.callback(site.stop_all)
        yield site


def _site(
    *,
    folder: Path,
    plane: ControlPlane,
    postgres: PostgresServer,
    redis: RedisServer,
    rabbitmq: RabbitServer,
) -> OperatorSite:
    plane.kubectl("create", "namespace", _NAMESPACE)
    definition = REPOSITORY / "crds" / "markets.gomatch.io.yaml"
    plane.kubectl("apply", "--server-side", "-f", str(definition))
    _wait_for_kind(plane)
    rabbitmq.add_vhosts(["bench"])
    broker = BrokerAdmin(rabbitmq, rabbitmq.url_of("bench"))
    broker.make_user(_BROKER_USER, _PASSWORD)
    parts = urlsplit(postgres.url)
    users = {
        "postgres": (parts.username or "", parts.password or ""),
        "rabbitmq": (_BROKER_USER, _PASSWORD),
        "redis": ("default", "it asks for none"),
    }
    credentials: dict[str, Path] = {}
    for name, (user, password) in users.items():
        files = CredentialFiles(folder / f"{name}-credentials")
        files.write(user, password)
        credentials[name] = files.folder
    documents = chart_documents(_NAMESPACE)
    grant_rights(plane, documents)
    return OperatorSite(
        plane=plane,
        namespace=_NAMESPACE,
        folder=folder,
        documents=documents,
        database_url=postgres.url,
        broker=broker,
        redis_url=redis.url,
        credentials=credentials,
    )


def _wait_for_kind(plane: ControlPlane) -> None:
    """`kubectl wait` fails of a definition that has no conditions yet."""
    deadline = time.monotonic() + _KIND_SECONDS
    while True:
        try:
            plane.apiserver.get("/apis/gomatch.io/v1alpha1/markets")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def document(number: int) -> dict[str, Any]:
    """A Market as in examples/, with a symbol of its own."""
    base = f"M{number:05d}"
    return {
        "apiVersion": "gomatch.io/v1alpha1",
        "kind": "Market",
        "metadata": {"name": f"{base.lower()}-usdt"},
        "spec": {
            "symbol": f"{base}-USDT",
            "base": base,
            "quote": "USDT",
            "tickSize": "0.01",
            "lotSize": "0.00001",
        },
    }
