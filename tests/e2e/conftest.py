"""One kind cluster for the whole run. Docker has to answer; see `make e2e`.

pytest-kind's options say what is used: ``--kind-image``, ``--kind-bin``, ``--kind-kubectl-bin``,
``--cluster-name``, and ``--keep-cluster``, which also uses the cluster of the run before. Images
that are not given are made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_kind.cluster import KindCluster

from gomatch.cli.servers.process import run_program
from tests.fixtures.kind import Cluster
from tests.fixtures.programs import SCRIPTS, built_programs

_TEST_SECONDS = 900  # the first one waits for the cluster
_IMAGE_SECONDS = 1800.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers-image", help="Image with RabbitMQ, PostgreSQL 17 and Valkey.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS))


@pytest.fixture(scope="session")
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    options = request.config
    image = options.getoption("--kind-image")
    made_here = image is None or image.startswith("kube.local/")
    kubectl = _program(options.getoption("--kind-kubectl-bin"), "kubectl", built_as="kubeall")
    kubeconfig = options.getoption("--kubeconfig")
    kind = KindCluster(
        options.getoption("--cluster-name"),
        Path(kubeconfig) if kubeconfig else None,
        image=image or _made("node-image.sh"),
        kind_path=_program(options.getoption("--kind-bin"), "kind", built_as="kind"),
        kubectl_path=kubectl,
    )
    cluster = Cluster(kind, kubectl=kubectl, made_here=made_here)
    keep = options.getoption("--keep-cluster")
    if not keep:
        cluster.delete()
    try:
        cluster.create(tmp_path_factory.mktemp("kind"))
        yield cluster
    finally:
        if not keep:
            cluster.delete()


@pytest.fixture(scope="session")
def python_image(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """An image with Python that all nodes have."""
    return _loaded(cluster, request.config.getoption("--base-image") or _made("base-image.sh"))


@pytest.fixture(scope="session")
def servers_image(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """An image with RabbitMQ, PostgreSQL and Valkey that all nodes have."""
    given = request.config.getoption("--servers-image")
    return _loaded(cluster, given or _made("servers-image.sh"))


def _program(given: str | None, name: str, *, built_as: str) -> Path:
    return Path(given).absolute() if given else built_programs(built_as) / name


def _loaded(cluster: Cluster, image: str) -> str:
    cluster.load_images(image)
    return image


def _made(script: str) -> str:
    return run_program([str(SCRIPTS / script)], timeout=_IMAGE_SECONDS).strip()
