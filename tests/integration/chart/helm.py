"""Helm, as a user runs it, and what it prints."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[3]
CHART = REPOSITORY / "charts" / "gomatch"
VALUE_SETS = {
    "dev": REPOSITORY / "examples" / "values" / "try-it-out.yaml",
    "production": REPOSITORY / "examples" / "values" / "production.yaml",
    "everything": Path(__file__).parent / "values" / "everything.yaml",
    "cluster-scope": Path(__file__).parent / "values" / "cluster-scope.yaml",
}
OLDEST_KUBERNETES = "1.30.0"

Document = dict[str, Any]
Values = Mapping[str, object]


@dataclass(frozen=True)
class Finished:
    code: int
    stdout: str
    stderr: str


class Helm:
    """``kubeconfig`` says on which cluster; without one, only what needs no cluster works."""

    def __init__(self, program: Path, *, home: Path, kubeconfig: Path | None = None) -> None:
        self._program = program
        self._rendered: dict[tuple[str, ...], str] = {}
        self._environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        if kubeconfig is not None:
            self._environment["KUBECONFIG"] = str(kubeconfig)

    def run(self, *arguments: str, values: Values | None = None) -> Finished:
        """``values`` are given as a file, as by ``--values``."""
        given = ["--values", "-"] if values is not None else []
        done = subprocess.run(
            [str(self._program), *arguments, *given],
            input=json.dumps(values) if values is not None else None,
            capture_output=True,
            check=False,
            text=True,
            timeout=180,
            env=self._environment,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def render(
        self,
        value_set: str = "dev",
        values: Values | None = None,
        *,
        release: str = "gomatch",
        namespace: str = "venue",
        kubernetes: str = OLDEST_KUBERNETES,
        chart: Path = CHART,
    ) -> list[Document]:
        """All objects of a release with the named set and, laid over it, ``values``. What was
        rendered is remembered; random values in it are then the same."""
        text = json.dumps(values or {}, sort_keys=True)
        key = (value_set, text, release, namespace, kubernetes, str(chart))
        if key not in self._rendered:
            done = self._template(value_set, values or {}, release, namespace, kubernetes, chart)
            assert done.code == 0, done.stderr
            self._rendered[key] = done.stdout
        documents = yaml.load_all(self._rendered[key], yaml.CSafeLoader)
        return [document for document in documents if document]

    def refusal(self, value_set: str = "dev", values: Values | None = None) -> str:
        """What Helm says when it refuses these values."""
        done = self._template(value_set, values or {})
        assert done.code != 0, "the values were accepted"
        return done.stderr

    def _template(
        self,
        value_set: str,
        values: Values,
        release: str = "gomatch",
        namespace: str = "venue",
        kubernetes: str = OLDEST_KUBERNETES,
        chart: Path = CHART,
    ) -> Finished:
        return self.run(
            *("template", release, str(chart), "--namespace", namespace),
            *("--kube-version", kubernetes, "--values", str(VALUE_SETS[value_set])),
            values=values,
        )


def of_kind(documents: Sequence[Document], *kinds: str) -> list[Document]:
    return [document for document in documents if document["kind"] in kinds]


def named(documents: Sequence[Document], kind: str, name: str) -> Document:
    found = [one for one in of_kind(documents, kind) if one["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def pod_templates(documents: Sequence[Document]) -> dict[str, Document]:
    """Name of the object -> metadata and spec of the pods that it makes, or is."""
    templates = {
        one["metadata"]["name"]: one["spec"]["template"] for one in of_kind(documents, "Deployment")
    }
    pods = {one["metadata"]["name"]: one for one in of_kind(documents, "Pod")}
    return {**templates, **pods}


def containers(template: Document) -> list[Document]:
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
