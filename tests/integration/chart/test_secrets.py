"""Secrets that the chart makes, and where their values must not stand. How they are kept over an
upgrade is in test_release.py, as that needs a cluster."""

from __future__ import annotations

import base64
import json

import pytest

from gomatch.messages.credentials import parse_server_key
from tests.integration.chart.helm import (
    CHART,
    OLDEST_KUBERNETES,
    VALUE_SETS,
    Document,
    Helm,
    named,
    of_kind,
)


@pytest.mark.parametrize("value_set", ["dev", "everything", "cluster-scope"])
def test_no_secret_stands_in_anything_but_a_secret(helm: Helm, value_set: str) -> None:
    rendered = helm.render(value_set)
    values = {
        base64.b64decode(value).decode()
        for secret in of_kind(rendered, "Secret")
        for key, value in secret["data"].items()
        if key != "username"
    }
    assert values
    others = json.dumps([one for one in rendered if one["kind"] != "Secret"])
    for value in values:
        assert value not in others
        assert base64.b64encode(value.encode()).decode() not in others


def test_a_secret_is_the_same_in_every_namespace(helm: Helm) -> None:
    documents = helm.render(values={"watchNamespaces": ["spot", "test"]})
    by_name: dict[str, list[Document]] = {}
    for secret in of_kind(documents, "Secret"):
        by_name.setdefault(secret["metadata"]["name"], []).append(secret)
    for name in ("callback", "postgresql", "rabbitmq", "valkey"):
        secrets = by_name[f"gomatch-{name}"]
        namespaces = [one["metadata"]["namespace"] for one in secrets]
        assert namespaces == ["venue", "spot", "test"]
        assert all(one["data"] == secrets[0]["data"] for one in secrets)
    assert [one["metadata"]["namespace"] for one in by_name["gomatch-server"]] == ["venue"]


def test_the_generated_server_key_is_one(helm: Helm) -> None:
    secret = named(helm.render(), "Secret", "gomatch-server")
    parse_server_key(base64.b64decode(secret["data"]["key"]).decode())


def test_passwords_differ(helm: Helm) -> None:
    secrets = of_kind(helm.render(), "Secret")
    values = [one["data"][key] for one in secrets for key in one["data"] if key != "username"]
    assert len(values) == 5
    assert len(values) == len(set(values))


def test_everything_that_running_matchers_need_outlives_the_release(
    rendered: list[Document],
) -> None:
    matcher_accounts = [
        one
        for one in of_kind(rendered, "ServiceAccount")
        if one["metadata"]["labels"]["app.kubernetes.io/component"] == "matcher"
    ]
    for document in [*of_kind(rendered, "Secret"), *matcher_accounts]:
        assert document["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize("section", ["server", "callback"])
def test_a_secret_of_the_user_is_taken_and_none_is_made(helm: Helm, section: str) -> None:
    documents = helm.render(values={section: {"existingSecret": "mine"}})
    names = [one["metadata"]["name"] for one in of_kind(documents, "Secret")]
    assert f"gomatch-{section}" not in names
    deployment = named(documents, "Deployment", "gomatch-api")
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert "mine" in [one["secret"]["secretName"] for one in volumes if "secret" in one]


def test_with_all_servers_given_no_secret_is_made(helm: Helm) -> None:
    assert of_kind(helm.render("production"), "Secret") == []


def test_the_development_servers_use_the_secrets_that_programs_use(helm: Helm) -> None:
    documents = helm.render(values={"postgresql": {"existingSecret": "mine"}})
    for name, secret in {
        "gomatch-postgresql": "mine",
        "gomatch-rabbitmq": "gomatch-rabbitmq",
        "gomatch-valkey": "gomatch-valkey",
    }.items():
        deployment = named(documents, "Deployment", name)
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        assert [one["secret"]["secretName"] for one in volumes if "secret" in one] == [secret]


def test_with_all_secrets_given_every_rendering_is_the_same(helm: Helm) -> None:
    """As GitOps tools need it that render without a cluster."""
    arguments = (
        *("template", "gomatch", str(CHART), "--namespace", "venue"),
        *("--kube-version", OLDEST_KUBERNETES, "--values", str(VALUE_SETS["production"])),
    )
    first, second = (helm.run(*arguments) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert first.stdout == second.stdout
