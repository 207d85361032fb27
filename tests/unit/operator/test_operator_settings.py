"""Settings of the operator that end in ConfigMaps hold no secrets."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.fixtures.example_markets import PLAIN_SETTINGS, example_settings


def with_postgres(url: str) -> dict[str, Any]:
    servers = PLAIN_SETTINGS["servers"]
    return {
        **PLAIN_SETTINGS,
        "servers": {**servers, "postgres": {**servers["postgres"], "url": url}},
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@postgres/gomatch",
        "postgresql://me@postgres/gomatch",
        "postgresql://postgres/gomatch?password=hunter2",
        "postgresql://postgres/gomatch?sslpassword=hunter2",
    ],
)
def test_an_address_with_credentials_is_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValidationError, match="they belong into the Secret") as refused:
        example_settings(with_postgres(url))

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://me:hunter2@rabbitmq:15672", "belong into the Secret"),
        ("rabbitmq:15672", "must begin with http://"),
        ("amqp://rabbitmq:5672", "must begin with http://"),
    ],
)
def test_an_address_of_the_management_api_that_cannot_be_used_is_refused(
    url: str, why: str
) -> None:
    servers = PLAIN_SETTINGS["servers"]
    broker = {**servers["rabbitmq"], "managementUrl": url}

    with pytest.raises(ValidationError, match=why) as refused:
        example_settings({**PLAIN_SETTINGS, "servers": {**servers, "rabbitmq": broker}})

    assert "hunter2" not in str(refused.value)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="must begin with postgresql://"):
        example_settings(with_postgres("mysql://postgres/gomatch"))


@pytest.mark.parametrize(
    "name", ["GOMATCH_SERVER_KEY", "GOMATCH_CALLBACK_TOKEN", "GOMATCH_POSTGRES_URL"]
)
def test_a_variable_that_can_hold_a_secret_is_refused(name: str) -> None:
    matcher = {**PLAIN_SETTINGS["matcher"], "environment": {name: "hunter2"}}

    with pytest.raises(ValidationError, match=name) as refused:
        example_settings({**PLAIN_SETTINGS, "matcher": matcher})

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "times",
    [
        {"leaseSeconds": 10, "renewDeadline": 10, "retryPeriod": 2},
        {"leaseSeconds": 15, "renewDeadline": 4, "retryPeriod": 4},
    ],
)
def test_times_of_the_lease_that_would_let_two_lead_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="leaseSeconds must be above renewDeadline"):
        example_settings({**PLAIN_SETTINGS, **times})
