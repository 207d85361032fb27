"""Helm with and without a cluster. The API server is this folder's own: releases bring the CRD."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.programs import built_programs
from tests.integration.chart.helm import VALUE_SETS, Document, Helm


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """Built if it is missing (minutes)."""
    return built_programs("helm") / "helm"


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
    plane = ControlPlane(folder, programs=built_programs("kubeall", "etcd"))
    try:
        plane.start_now()
        yield plane
    finally:
        plane.stop_now()
        shutil.rmtree(folder)
