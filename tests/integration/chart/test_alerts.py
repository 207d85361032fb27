"""Alerts speak of metrics that exist, with labels that they have, and each has a runbook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from gomatch.transport import prometheus_hooks
from gomatch_api.metrics import ApiMetrics
from gomatch_api.stream.metrics import StreamMetrics
from gomatch_matcher.metrics import MatcherMetrics
from gomatch_operator.metrics import OperatorMetrics
from tests.integration.chart.helm import REPOSITORY, Helm, of_kind, pod_templates

RUNBOOKS = REPOSITORY / "docs" / "runbooks"
# What Prometheus adds to every series.
_OF_TARGETS = {"namespace", "job", "pod", "instance"}


def rules(helm: Helm, value_set: str = "production") -> list[dict[str, Any]]:
    (rule,) = of_kind(helm.render(value_set), "PrometheusRule")
    (group,) = rule["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def metrics() -> dict[str, set[str]]:
    """Name -> labels, of everything that the programs register."""
    registry = CollectorRegistry()
    ApiMetrics(registry)
    StreamMetrics(registry)
    prometheus_hooks(registry)
    MatcherMetrics(registry, "BTC-USDT")
    OperatorMetrics(registry)
    found: dict[str, set[str]] = {}
    for collector in registry._collector_to_names:
        assert isinstance(collector, MetricWrapperBase)
        (family,) = collector.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        found[name] = set(collector._labelnames)
    return found


def test_every_metric_of_an_alert_exists_with_its_labels(helm: Helm) -> None:
    known = metrics()
    for rule in rules(helm):
        used = list(_used(rule["expr"]))
        assert used, rule["alert"]
        for name, labels in used:
            assert name in known, f"{rule['alert']}: {name}"
            assert labels <= known[name] | _OF_TARGETS, f"{rule['alert']}: {labels}"
        grouped = {
            label.strip()
            for labels in re.findall(r"by \(([^)]*)\)", rule["expr"])
            for label in labels.split(",")
        }
        available = set().union(*(known[name] for name, _ in used))
        assert grouped <= available | _OF_TARGETS, rule["alert"]
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= grouped, rule["alert"]


def test_the_first_of_a_series_is_alerted(helm: Helm) -> None:
    """What has more labels than its market is counted from 1, of which nothing is an increase."""
    known = metrics()
    looked_at = 0
    for rule in rules(helm):
        for name in re.findall(r"increase\((gomatch_\w+)", rule["expr"]):
            if known[name] - {"market"} and "> 0" in rule["expr"]:
                looked_at += 1
                assert re.search(rf"unless {name}{{[^}}]*}} offset", rule["expr"]), rule["alert"]
    assert looked_at == 1


def test_no_placeholder_is_left(helm: Helm) -> None:
    for rule in rules(helm):
        text = f"{rule['expr']} {rule['annotations']['summary']}"
        assert set(re.findall(r"\$\w+", text)) <= {"$labels", "$value"}, rule["alert"]


def test_every_alert_has_a_page_and_every_page_an_alert(helm: Helm) -> None:
    pages = {rule["annotations"]["runbook"] for rule in rules(helm)}
    assert pages == {f"docs/runbooks/{page.name}" for page in RUNBOOKS.glob("gomatch-*.md")}
    for rule in rules(helm):
        text = (REPOSITORY / rule["annotations"]["runbook"]).read_text()
        assert text.startswith(f"# {rule['alert']}\n"), rule["alert"]


def test_alerts_link_to_the_pages_where_they_are_published(helm: Helm) -> None:
    (first, *_) = rules(helm, "everything")
    assert first["annotations"]["runbook_url"] == (
        "https://docs.example.com/runbooks/gomatch-market-without-leader.md"
    )


def test_alerts_look_at_this_installation_only(helm: Helm) -> None:
    expressions = {rule["alert"]: rule["expr"] for rule in rules(helm, "everything")}
    leaders = expressions["GomatchMarketWithoutLeader"]
    assert 'gomatch_matcher_leader{namespace=~"markets-a|markets-b"}' in leaders
    assert 'job="gomatch-venue-operator"' in expressions["GomatchOperatorAway"]
    assert "> 1000000 / 2" in expressions["GomatchBacklogGrows"]


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor", "PrometheusRule"])
def test_prometheus_selects_by_the_labels_that_the_values_give(helm: Helm, kind: str) -> None:
    for document in of_kind(helm.render("everything"), kind):
        assert document["metadata"]["labels"]["release"] == "prometheus"
    assert not of_kind(helm.render(), kind)


def test_monitors_scrape_ports_that_there_are(helm: Helm) -> None:
    documents = helm.render("production")
    for monitor in of_kind(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        services = [
            one
            for one in of_kind(documents, "Service")
            if wanted <= one["metadata"]["labels"].items()
        ]
        (endpoint,) = monitor["spec"]["endpoints"]
        scraped = [
            service
            for service in services
            if endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        ]
        assert len(scraped) == 1
        selector = scraped[0]["spec"]["selector"].items()
        pods = [
            p
            for p in pod_templates(documents).values()
            if selector <= p["metadata"]["labels"].items()
        ]
        assert len(pods) == 1


def _used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric in ``expression``, and the labels that it is selected by."""
    for name, selector in re.findall(r"(gomatch_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", selector))
