"""The Markets in examples/ can be applied as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gomatch_operator.market import definition, read_market
from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.market_schema import fields_given, fields_of, market_schema

EXAMPLES = sorted(
    path
    for path in (Path(__file__).parents[4] / "examples").glob("*.yaml")
    if "\nkind: Market\n" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_taken_and_makes_a_market_that_works(
    installed: ControlPlane, namespace: str, path: Path
) -> None:
    printed = installed.kubectl(
        "apply", "--validate=strict", f"--namespace={namespace}", "-f", str(path), "-o", "yaml"
    )

    market = read_market(yaml.safe_load(printed))
    assert market.spec is not None, market.problem
    definition(market.spec).config()


def test_one_example_has_every_field() -> None:
    spec = market_schema()["properties"]["spec"]
    every = {field for field, _ in fields_of(spec)}

    assert every - set(fields_given(_spec("every-field.yaml"), spec)) == set()


def test_kubernetes_takes_what_the_example_says_of_pods(
    installed: ControlPlane, namespace: str
) -> None:
    """The definition leaves affinity to the API server, which looks at it in a pod."""
    matcher = _spec("every-field.yaml")["matcher"]
    container = {
        "name": "matcher",
        **{name: matcher[name] for name in ("image", "imagePullPolicy", "resources")},
    }
    placed = {name: matcher[name] for name in ("nodeSelector", "tolerations", "affinity")}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "matcher",
            "labels": matcher["podLabels"],
            "annotations": matcher["podAnnotations"],
        },
        "spec": {"containers": [container], **placed},
    }

    installed.kubectl(
        *("create", "--dry-run=server", "--validate=strict", f"--namespace={namespace}"),
        *("-f", "-"),
        stdin=yaml.safe_dump(pod),
    )


def test_the_smallest_example_has_nothing_optional() -> None:
    assert set(_spec("btc-usdt.yaml")) == set(market_schema()["properties"]["spec"]["required"])


def _spec(name: str) -> dict[str, Any]:
    (path,) = (path for path in EXAMPLES if path.name == name)
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return dict(content["spec"])
