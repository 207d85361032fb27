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
from tests.fixtures.cluster_client import client_pod
from tests.fixtures.figures import Figures
from tests.fixtures.images import Images, docker
from tests.fixtures.kind import Cluster
from tests.fixtures.programs import SCRIPTS, built_programs
from tests.fixtures.venue_on_cluster import (
    API_URL,
    CLIENTS,
    NAMESPACE,
    ReleaseImages,
    Traders,
    VenueOnCluster,
)

_TEST_SECONDS = 900  # the first one waits for the cluster
_IMAGE_SECONDS = 1800.0
_FIGURES = pytest.StashKey[Figures]()
_BEFORE = "before"
_ORDER = (
    "test_cluster",
    "test_images",
    "test_install",
    "test_kubectl",
    "test_restored",
    "test_operator_killed",
    "test_network_policies",
    "test_rotation",
    "test_upgrade",
    "test_lost_node",
    "test_uninstall",
)
"""One release is used by all of them: what harms it most comes last."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--servers-image", help="Image with RabbitMQ, PostgreSQL 17 and Valkey.")
    parser.addoption("--figures", type=Path, help="Markdown file for what was measured.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS))
    items.sort(key=lambda item: _ORDER.index(item.path.stem) if item.path.parent == here else -1)


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


@pytest.fixture(scope="session")
def release_images(
    request: pytest.FixtureRequest, cluster: Cluster, images: Images
) -> ReleaseImages:
    """Our images on both workers, under the tags of two releases, and that of the servers."""
    servers: str = request.config.getoption("--servers-image") or _made("servers-image.sh")
    programs = {}
    names = [servers]
    now = images.api.rpartition(":")[2]
    for program in ("api", "matcher", "operator"):
        name: str = getattr(images, program)
        programs[program] = name.rpartition(":")[0]
        before = f"{programs[program]}:{_BEFORE}"
        docker("tag", name, before)
        names += [name, before]
    cluster.load_images(*names)
    return ReleaseImages(programs=programs, servers=servers, before=_BEFORE, now=now)


@pytest.fixture(scope="session")
def venue(
    cluster: Cluster, release_images: ReleaseImages, tmp_path_factory: pytest.TempPathFactory
) -> VenueOnCluster:
    """The release of before, installed, without a Market."""
    for name in (NAMESPACE, CLIENTS):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        metadata = {"name": name, "labels": labels}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    venue = VenueOnCluster(cluster, release_images, tmp_path_factory.mktemp("release"))
    try:
        venue.install("upgrade", "--install", values=venue.values(release_images.before))
    except AssertionError as error:
        error.add_note(venue.kubectl("get", "pods,events"))
        raise
    return venue


@pytest.fixture(scope="session")
def traders(venue: VenueOnCluster, python_image: str) -> Iterator[Traders]:
    tokens = [venue.new_token(user) for user in ("alice", "bob")]
    with client_pod(
        venue.cluster,
        namespace=CLIENTS,
        image=python_image,
        node=venue.servers_node,
        url=API_URL,
    ) as client:
        yield Traders(client, tokens)


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Printed at the end of the run, and written to ``--figures``."""
    return request.config.stash[_FIGURES]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash[_FIGURES]
    for line in figures.lines():
        terminalreporter.write_line(line)
    file: Path | None = config.getoption("--figures")
    if file is not None:
        file.write_text(figures.page())


def _program(given: str | None, name: str, *, built_as: str) -> Path:
    return Path(given).absolute() if given else built_programs(built_as) / name


def _loaded(cluster: Cluster, image: str) -> str:
    cluster.load_images(image)
    return image


def _made(script: str) -> str:
    return run_program([str(SCRIPTS / script)], timeout=_IMAGE_SECONDS).strip()
