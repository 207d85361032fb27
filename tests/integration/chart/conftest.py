"""Helm with and without a cluster. The API server is this folder's own: releases bring the CRD."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomatch.cli.servers.process import run_program
from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.programs import built_programs
from tests.integration.chart.helm import REPOSITORY, VALUE_SETS, Document, Helm

_BUILD = REPOSITORY / "tests" / "e2e" / "cluster" / "build.sh"


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """Built if it is missing (minutes)."""
    return Path(run_program([str(_BUILD), "helm"], timeout=1500).strip()) / "helm"


@pytest.fixture(scope="session")
def helm(helm_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(helm_program, home=tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session", params=VALUE_SETS)
def rendered(request: pytest.FixtureRequest, helm: Helm) -> list[Document]:
    """All objects of a release, once for each set of values."""
    return helm.render(request.param)


@pytest.fixture(scope="package")
def control_plane_session() -> Iterator[ControlPlane]:
    folder = Path(tempfile.mkdtemp(prefix="gomatch-chart-"))
    plane = ControlPlane(folder, programs=built_programs())
    try:
        plane.start_now()
        yield plane
    finally:
        plane.stop_now()
        shutil.rmtree(folder)
