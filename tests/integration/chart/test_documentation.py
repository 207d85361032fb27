"""Commands of docs/install.md, pasted, make what the values of examples/values/production.yaml ask
for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.pasted import code_blocks
from tests.integration.chart.helm import Document, Helm, pod_templates
from tests.integration.chart.test_configuration import operator_settings

_RELEASE = "gomatch"


@pytest.fixture
def pasted(control_plane: ControlPlane, helm: Helm, tmp_path: Path) -> Iterator[None]:
    """The namespaces are gone at the end."""
    [script] = code_blocks("docs/install.md", "sh")
    (tmp_path / "ca.crt").write_text("a certificate")
    path = f"{control_plane.programs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-eu", "-c", script],
        env={"PATH": path, "KUBECONFIG": str(control_plane.kubeconfig), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    yield
    settings = operator_settings(_production(helm), tmp_path)
    control_plane.kubectl("delete", "namespace", _RELEASE, *settings.namespaces, "--wait=false")


def test_the_commands_make_every_secret_that_pods_mount(
    control_plane: ControlPlane, helm: Helm, pasted: None, tmp_path: Path
) -> None:
    documents = _production(helm)
    settings = operator_settings(documents, tmp_path)
    of_matchers = {
        *(("secret", server.secret_name) for _, server in settings.servers),
        *(("configmap", server.ca_config_map) for _, server in settings.servers),
        ("secret", settings.matcher.callback_secret_name),
    }
    wanted = {(_RELEASE, *each) for each in _mounted(documents)}
    for namespace in settings.namespaces:
        wanted |= {(namespace, *each) for each in of_matchers}

    missing = {
        each
        for each in wanted
        if not control_plane.kubectl(
            "get", each[1], each[2], f"--namespace={each[0]}", "--ignore-not-found"
        )
    }

    assert len(wanted) > len(of_matchers)
    assert missing == set()


def _production(helm: Helm) -> list[Document]:
    return helm.render("production", namespace=_RELEASE)


def _mounted(documents: list[Document]) -> Iterator[tuple[str, str]]:
    """Secrets and ConfigMaps that pods of the release mount and the release does not make."""
    made = {each["metadata"]["name"] for each in documents if each["kind"] == "ConfigMap"}
    for pods in pod_templates(documents).values():
        for volume in pods["spec"].get("volumes", []):
            if "secret" in volume:
                yield "secret", volume["secret"]["secretName"]
            if "configMap" in volume and volume["configMap"]["name"] not in made:
                yield "configmap", volume["configMap"]["name"]
