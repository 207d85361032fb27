"""What the programs are told: the operator's file, the API's variables, and what both mount."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gomatch.settings import Settings
from gomatch_operator.settings import OperatorSettings, load_settings
from tests.integration.chart.helm import (
    VALUE_SETS,
    Document,
    Helm,
    containers,
    named,
    of_kind,
    pod_templates,
)


def operator_settings(documents: list[Document], folder: Path) -> OperatorSettings:
    """The file in the ConfigMap, read as the operator reads it."""
    (text,) = [
        one["data"]["operator.yaml"]
        for one in of_kind(documents, "ConfigMap")
        if "operator.yaml" in one["data"]
    ]
    file = folder / "operator.yaml"
    file.write_text(text)
    return load_settings(file)


def variables(documents: list[Document], name: str) -> dict[str, str]:
    (container,) = pod_templates(documents)[name]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}


def test_the_operator_can_read_its_file(rendered: list[Document], tmp_path: Path) -> None:
    assert operator_settings(rendered, tmp_path).namespace == "venue"


def test_the_operator_is_told_what_the_values_say(helm: Helm, tmp_path: Path) -> None:
    settings = operator_settings(helm.render("everything"), tmp_path)
    assert settings.installation == "everything"
    assert settings.namespaces == ("markets-a", "markets-b")
    assert settings.backlog_limit == 1_000_000
    assert settings.log_level == "debug"
    servers = settings.servers
    assert urlsplit(servers.postgres.url)[:3] == (
        "postgresql",
        "gomatch-venue-postgresql.venue.svc:5433",
        "/venue",
    )
    assert servers.postgres.secret_name == "own-postgresql"
    assert servers.rabbitmq.vhost == "venue"
    assert servers.rabbitmq.management_url == "http://gomatch-venue-rabbitmq.venue.svc:15673"
    assert servers.redis.url == "redis://gomatch-venue-valkey.venue.svc:6380/1"
    matcher = settings.matcher
    assert matcher.image == "registry.example.com/mirror/gomatch-matcher:1.2.3"
    assert matcher.image_pull_secrets == ("pull-secret",)
    assert matcher.environment == {
        "GOMATCH_SNAPSHOT_EVERY": "100000",
        "GOMATCH_LOG_LEVEL": "debug",
    }
    assert matcher.pod_labels["example.com/tier"] == "trading"
    assert matcher.pod_annotations == {"example.com/note": "a note"}
    assert matcher.node_selector == {"example.com/pool": "trading"}
    assert matcher.tolerations[0]["key"] == "example.com/dedicated"
    assert "nodeAffinity" in matcher.affinity
    assert matcher.priority_class_name == "trading"
    assert settings.network.metrics_from[0]["podSelector"]
    assert settings.network.extra_egress[0]["ports"][0]["port"] == 4318


def test_servers_with_tls_are_checked_against_the_given_ca(helm: Helm, tmp_path: Path) -> None:
    documents = helm.render("production")
    servers = operator_settings(documents, tmp_path).servers
    assert servers.postgres.url.endswith(
        "?sslmode=verify-full&sslrootcert=/etc/gomatch/ca/postgres/ca.crt"
    )
    assert servers.rabbitmq.url == (
        "amqps://rabbitmq.example.internal:5671/gomatch?cafile=/etc/gomatch/ca/rabbitmq/ca.crt"
    )
    assert servers.redis.url == (
        "rediss://redis.example.internal:6379/0?ssl_ca_certs=/etc/gomatch/ca/redis/ca.crt"
    )
    assert servers.rabbitmq.management_url == "https://rabbitmq.example.internal:15671"
    assert servers.rabbitmq.management_ca == Path("/etc/gomatch/ca/rabbitmq/ca.crt")
    assert {server.ca_config_map for _, server in servers} == {"gomatch-ca"}
    assert variables(documents, "gomatch-api")["GOMATCH_AMQP_URL"] == servers.rabbitmq.url


def test_without_tls_to_the_broker_its_ca_is_not_named(helm: Helm, tmp_path: Path) -> None:
    documents = helm.render("production", {"rabbitmq": {"tls": False, "caConfigMap": ""}})
    assert "cafile" not in operator_settings(documents, tmp_path).servers.rabbitmq.url


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_the_api_knows_every_setting_that_it_is_given(
    helm: Helm, value_set: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = helm.render(value_set)
    (name,) = [
        one for one in pod_templates(documents) if one.endswith("-api") and "test" not in one
    ]
    given = variables(documents, name)
    known = {f"GOMATCH_{field.upper()}" for field in Settings.model_fields}
    assert {variable for variable in given if variable != "EXTRA"} <= known
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    assert (settings.api_host, settings.api_port) == ("0.0.0.0", 8080)
    assert (settings.callback_host, settings.callback_port) == ("0.0.0.0", 8081)
    assert settings.queue_length == 0


def test_api_and_operator_have_the_same_backlog_limit(
    rendered: list[Document], tmp_path: Path
) -> None:
    (api,) = [name for name in pod_templates(rendered) if name.endswith("-api")]
    limit = operator_settings(rendered, tmp_path).backlog_limit
    assert variables(rendered, api)["GOMATCH_BACKLOG_LIMIT"] == str(limit)


def test_every_file_that_a_program_is_told_of_is_mounted(
    rendered: list[Document], tmp_path: Path
) -> None:
    settings = operator_settings(rendered, tmp_path)
    for name, pods in pod_templates(rendered).items():
        if not name.endswith(("-api", "-operator")):
            continue
        for container in containers(pods):
            paths = [
                one["value"]
                for one in container.get("env", [])
                if one["name"].endswith(("_CREDENTIALS", "_FILE"))
            ]
            if container["name"] == "operator":
                servers = settings.servers
                paths += [str(server.credentials) for _, server in servers]
                paths += [str(servers.rabbitmq.management_ca)] if _has_ca(settings) else []
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            for path in paths:
                assert any(path == one or path.startswith(f"{one}/") for one in mounts), path


def test_api_operator_and_migrations_may_have_users_of_their_own(helm: Helm) -> None:
    documents = helm.render("production")
    assert _secrets(documents, "gomatch-operator") == {
        "credentials-postgres": "gomatch-postgresql-operator",
        "credentials-rabbitmq": "gomatch-rabbitmq-operator",
        "credentials-redis": "gomatch-redis-operator",
        "credentials-migrations": "gomatch-postgresql-owner",
    }
    assert _secrets(documents, "gomatch-api") == {
        "credentials-postgres": "gomatch-postgresql-api",
        "credentials-rabbitmq": "gomatch-rabbitmq-api",
        "credentials-migrations": "gomatch-postgresql-owner",
        "server-key": "gomatch-server",
        "callback-token": "gomatch-callback",
    }


def test_matchers_have_the_user_that_all_share(helm: Helm, tmp_path: Path) -> None:
    servers = operator_settings(helm.render("production"), tmp_path).servers
    assert [server.secret_name for _, server in servers] == [
        "gomatch-postgresql",
        "gomatch-rabbitmq",
        "gomatch-redis",
    ]


@pytest.mark.parametrize("name", ["gomatch-api", "gomatch-operator"])
def test_without_users_of_their_own_all_use_the_same(helm: Helm, name: str) -> None:
    secrets = _secrets(helm.render(), name)
    assert secrets["credentials-postgres"] == "gomatch-postgresql"
    assert secrets["credentials-migrations"] == "gomatch-postgresql"
    assert secrets["credentials-rabbitmq"] == "gomatch-rabbitmq"


def test_migrations_read_the_credentials_of_the_owner(helm: Helm) -> None:
    spec = pod_templates(helm.render("production"))["gomatch-api"]["spec"]
    (migrations,) = spec["initContainers"]
    mounted = {mount["mountPath"]: mount["name"] for mount in migrations["volumeMounts"]}
    assert mounted["/etc/gomatch/credentials/postgres"] == "credentials-migrations"
    (api,) = spec["containers"]
    assert "credentials-migrations" not in {mount["name"] for mount in api["volumeMounts"]}


def test_matchers_find_the_api_where_it_is(helm: Helm, tmp_path: Path) -> None:
    documents = helm.render("everything")
    settings = operator_settings(documents, tmp_path)
    host, port = settings.matcher.callback_targets.split(":")
    service = named(documents, "Service", host.split(".")[0])
    assert host == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert service["spec"]["clusterIP"] == "None"
    assert [one["port"] for one in service["spec"]["ports"]] == [int(port)]
    labels = pod_templates(documents)["gomatch-venue-api"]["metadata"]["labels"]
    assert settings.network.api_pod_labels.items() <= labels.items()
    assert settings.network.api_namespace == service["metadata"]["namespace"]


@pytest.mark.parametrize("value_set", ["dev", "everything"])
def test_what_matchers_mount_and_run_as_is_in_every_namespace_of_markets(
    helm: Helm, tmp_path: Path, value_set: str
) -> None:
    documents = helm.render(value_set)
    settings = operator_settings(documents, tmp_path)
    made = {
        (one["kind"], one["metadata"]["name"], one["metadata"]["namespace"])
        for one in of_kind(documents, "Secret", "ServiceAccount")
    }
    servers = [server.secret_name for _, server in settings.servers]
    given = {"own-postgresql"}
    for namespace in settings.namespaces:
        assert ("ServiceAccount", settings.matcher.service_account_name, namespace) in made
        for secret in {*servers, settings.matcher.callback_secret_name} - given:
            assert ("Secret", secret, namespace) in made


def test_with_cluster_scope_matchers_run_as_the_account_that_each_namespace_has(
    helm: Helm, tmp_path: Path
) -> None:
    documents = helm.render("cluster-scope")
    settings = operator_settings(documents, tmp_path)
    assert settings.namespaces == ()
    assert settings.matcher.service_account_name == "default"


def _has_ca(settings: OperatorSettings) -> bool:
    return settings.servers.rabbitmq.management_ca is not None


def _secrets(documents: list[Document], name: str) -> dict[str, str]:
    """Volume -> Secret."""
    volumes: list[dict[str, Any]] = pod_templates(documents)[name]["spec"]["volumes"]
    return {one["name"]: one["secret"]["secretName"] for one in volumes if "secret" in one}
