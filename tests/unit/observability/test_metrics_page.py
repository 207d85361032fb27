"""docs/metrics.md describes exactly the metrics that the programs have."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from gomatch.transport import prometheus_hooks
from gomatch_api.metrics import ApiMetrics
from gomatch_api.stream.metrics import StreamMetrics
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_operator.metrics import OperatorMetrics

DOCS = Path(__file__).parents[3] / "docs"
UNITS = ("seconds", "bytes")


def registry() -> CollectorRegistry:
    """With everything that any of the programs registers."""
    found = CollectorRegistry()
    ApiMetrics(found)
    StreamMetrics(found)
    prometheus_hooks(found)
    MatcherMetrics(found, "BTC-USDT")
    OperatorMetrics(found)
    return found


def described() -> dict[str, tuple[str, str, str]]:
    """Name -> type, labels, meaning, as the programs register them."""
    found: dict[str, tuple[str, str, str]] = {}
    for collector in registry()._collector_to_names:
        assert isinstance(collector, MetricWrapperBase)
        (family,) = collector.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in collector._labelnames)
        found[name] = family.type, labels, family.documentation
    return found


def written() -> dict[str, list[str]]:
    """Name -> the other cells of its row."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (DOCS / "metrics.md").read_text().splitlines()
        if line.startswith("| `gomatch_")
    ]
    return {name.strip("`"): cells for name, *cells in rows}


def test_the_page_is_what_the_programs_register() -> None:
    page = {name: (kind, labels, text) for name, (kind, labels, _, text) in written().items()}
    assert page == described()


def test_names_begin_with_gomatch_and_units_stand_last() -> None:
    for name, (_, _, unit, _) in written().items():
        assert name.startswith("gomatch_")
        words = name.removesuffix("_total").split("_")
        assert not set(words[:-1]) & set(UNITS), name
        assert (words[-1] in UNITS) == (unit in UNITS), name


def test_other_pages_name_only_metrics_that_exist() -> None:
    known = described()
    for page in DOCS.rglob("*.md"):
        for name in re.findall(r"gomatch_(?:api|matcher|operator|transport)_\w+", page.read_text()):
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            assert base in known, f"{page.name} speaks of {name}"
