"""Addresses of servers: their ports, and parameters added to them."""

from __future__ import annotations

import pytest

from gomatch_operator.desired.addresses import ports, target_ports, with_parameters


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://a/db", (5432,)),
        ("postgresql://a:6000,b:6001,c/db?sslmode=require", (5432, 6000, 6001)),
        ("amqps://a/vhost", (5671,)),
        ("amqp://[::1]:1234/", (1234,)),
        ("redis://a,a/0", (6379,)),
    ],
)
def test_the_ports_of_an_address(url: str, expected: tuple[int, ...]) -> None:
    assert ports(url) == expected


def test_the_ports_of_callback_targets() -> None:
    assert target_ports("api-a:8081, api-b:8082,api-c:8081") == (8081, 8082)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqps://a/v", "amqps://a/v?cafile=/ca.crt"),
        ("amqps://a/v?heartbeat=5", "amqps://a/v?heartbeat=5&cafile=/ca.crt"),
        ("amqps://a/v?cafile=/own.crt", "amqps://a/v?cafile=/own.crt"),
    ],
)
def test_a_parameter_is_added_unless_it_is_given(url: str, expected: str) -> None:
    assert with_parameters(url, {"cafile": "/ca.crt"}) == expected
