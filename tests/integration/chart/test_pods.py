"""What every pod of the chart keeps to."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path

import pytest

from tests.integration.chart.helm import CHART, Document, Helm, containers, named, pod_templates
from tests.integration.chart.pod_security import violations
from tests.integration.chart.test_configuration import operator_settings


def test_every_pod_is_restricted(rendered: list[Document]) -> None:
    assert {name: violations(pods) for name, pods in pod_templates(rendered).items()} == {
        name: [] for name in pod_templates(rendered)
    }


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("hostNetwork",), True, "hostNetwork"),
        (("volumes", 0), {"name": "root", "hostPath": {"path": "/"}}, "volume root"),
        (("securityContext", "runAsNonRoot"), False, "api: runAsNonRoot"),
        (("securityContext", "runAsUser"), 0, "api: runAsUser"),
        (("securityContext", "seccompProfile"), {}, "api: seccompProfile"),
        (("containers", 0, "securityContext", "privileged"), True, "api: privileged"),
        (
            ("containers", 0, "securityContext", "allowPrivilegeEscalation"),
            True,
            "api: allowPrivilegeEscalation",
        ),
        (("containers", 0, "securityContext", "capabilities"), {}, "api: capabilities.drop"),
        (
            ("containers", 0, "securityContext", "capabilities"),
            {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
            "api: capabilities.add",
        ),
        (
            ("containers", 0, "securityContext", "readOnlyRootFilesystem"),
            False,
            "api: readOnlyRootFilesystem",
        ),
        (("containers", 0, "ports", 0, "hostPort"), 8080, "api: hostPort"),
    ],
)
def test_the_check_sees_what_is_not_restricted(
    helm: Helm, path: tuple[str | int, ...], value: object, expected: str
) -> None:
    template = copy.deepcopy(pod_templates(helm.render())["gomatch-api"])
    place = template["spec"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert expected in violations(template)


def test_only_the_operator_gets_a_token(rendered: list[Document]) -> None:
    for name, pods in pod_templates(rendered).items():
        with_token = pods["spec"].get("automountServiceAccountToken") is not False
        assert with_token == name.endswith("-operator"), name


def test_every_container_requests_resources_and_bounds_its_memory(
    rendered: list[Document],
) -> None:
    for name, pods in pod_templates(rendered).items():
        for container in containers(pods):
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), name
            assert "memory" in resources["limits"], name


def test_every_volume_is_mounted_and_every_mount_has_a_volume(rendered: list[Document]) -> None:
    for name, pods in pod_templates(rendered).items():
        volumes = [volume["name"] for volume in pods["spec"].get("volumes", [])]
        mounted = {
            mount["name"]
            for container in containers(pods)
            for mount in container.get("volumeMounts", [])
        }
        assert sorted(volumes) == sorted(mounted), name


def test_probes_ask_for_health_and_readiness_apart(helm: Helm) -> None:
    for name in ("gomatch-api", "gomatch-operator"):
        (container,) = pod_templates(helm.render())[name]["spec"]["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["startupProbe"]["httpGet"]["path"] == "/healthz"


def test_migrations_run_before_api_and_operator_unless_they_are_off(helm: Helm) -> None:
    for enabled in (True, False):
        templates = pod_templates(helm.render(values={"migrations": {"enabled": enabled}}))
        for name in ("gomatch-api", "gomatch-operator"):
            init = templates[name]["spec"].get("initContainers", [])
            assert [container["name"] for container in init] == ["migrations"] * enabled


def test_an_ending_replica_serves_on_while_it_is_taken_out(helm: Helm) -> None:
    values = {"api": {"preStopSeconds": 4, "shutdownDelaySeconds": 6}}
    spec = pod_templates(helm.render(values=values))["gomatch-api"]["spec"]
    (container,) = spec["containers"]
    assert container["lifecycle"]["preStop"] == {"sleep": {"seconds": 4}}
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["GOMATCH_SHUTDOWN_DELAY"] == "6"
    assert spec["terminationGracePeriodSeconds"] >= 4 + 6 + 30


def test_a_grace_period_that_leaves_no_time_to_finish_is_refused(helm: Helm) -> None:
    values = {"preStopSeconds": 4, "shutdownDelaySeconds": 6}
    helm.render(values={"api": {**values, "terminationGracePeriodSeconds": 40}})
    refusal = helm.refusal(values={"api": {**values, "terminationGracePeriodSeconds": 39}})
    assert "api.terminationGracePeriodSeconds must be at least 40" in refusal


def test_an_autoscaler_alone_chooses_the_number_of_replicas(helm: Helm) -> None:
    for enabled in (True, False):
        documents = helm.render(values={"api": {"autoscaling": {"enabled": enabled}}})
        deployment = named(documents, "Deployment", "gomatch-api")
        assert ("replicas" in deployment["spec"]) is not enabled


def test_settings_of_the_user_replace_those_of_the_chart(helm: Helm) -> None:
    values = {"api": {"environment": {"GOMATCH_QUEUE_LENGTH": "7", "GOMATCH_RATE_LIMIT": "9"}}}
    (container,) = pod_templates(helm.render(values=values))["gomatch-api"]["spec"]["containers"]
    names = [one["name"] for one in container["env"]]
    assert len(names) == len(set(names))
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert environment["GOMATCH_QUEUE_LENGTH"] == "7"
    assert environment["GOMATCH_RATE_LIMIT"] == "9"


def test_a_changed_configuration_restarts_the_operator(helm: Helm) -> None:
    def annotations(workers: int) -> Document:
        documents = helm.render(values={"operator": {"workers": workers}})
        found: Document = pod_templates(documents)["gomatch-operator"]["metadata"]["annotations"]
        return found

    assert annotations(4) != annotations(5)
    assert annotations(4) == annotations(4)


def test_large_numbers_stay_whole(helm: Helm, tmp_path: Path) -> None:
    values = {
        "backlogLimit": 100_000_000,
        "dev": {"postgresql": {"runAsUser": 1_000_680_000}},
        "operator": {"rolloutDeadlineSeconds": 1_000_000, "maxConcurrentRollouts": 1_000_000},
        "redis": {"database": 1_000_000},
        "api": {"replicas": 1_000_000},
    }
    documents = helm.render(values=values)
    pods = pod_templates(documents)
    assert pods["gomatch-postgresql"]["spec"]["securityContext"]["runAsUser"] == 1_000_680_000
    passwd = named(documents, "ConfigMap", "gomatch-postgresql")["data"]["passwd"]
    assert passwd.startswith("postgresql:x:1000680000:1000680000:")
    (container,) = pods["gomatch-api"]["spec"]["containers"]
    assert {"name": "GOMATCH_BACKLOG_LIMIT", "value": "100000000"} in container["env"]
    assert named(documents, "Deployment", "gomatch-api")["spec"]["replicas"] == 1_000_000
    settings = operator_settings(documents, tmp_path)
    assert settings.rollout.deadline_seconds == 1_000_000
    assert settings.rollout.max_concurrent == 1_000_000
    assert settings.servers.redis.url.endswith("/1000000")


def test_an_upgrade_of_the_chart_alone_leaves_the_servers_of_dev_running(
    helm: Helm, tmp_path: Path
) -> None:
    """Without persistence a new pod of PostgreSQL begins with nothing."""
    chart = tmp_path / "gomatch"
    shutil.copytree(CHART, chart)
    text = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(re.sub("0[.]1[.]0", "0.2.0", text))
    before, after = (
        pod_templates(helm.render(values=values, chart=one))
        for one, values in (
            (CHART, {}),
            (chart, {"commonLabels": {"example.com/team": "exchange"}, "logLevel": "debug"}),
        )
    )
    for server in ("postgresql", "rabbitmq", "valkey"):
        assert after[f"gomatch-{server}"] == before[f"gomatch-{server}"]
    assert after["gomatch-api"] != before["gomatch-api"]
