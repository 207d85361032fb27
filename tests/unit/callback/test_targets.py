from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gomatch.errors import ConfigurationError
from gomatch_matcher.callback_targets import Target, TargetResolver, parse_targets


def test_targets_are_hosts_and_ports_once_each() -> None:
    assert parse_targets("api:8081, 10.0.0.7:81,[::1]:82, api:8081,") == [
        Target("api", 8081),
        Target("10.0.0.7", 81),
        Target("::1", 82),
    ]


@pytest.mark.parametrize("text", ["api", ":8081", "api:", "api:http", "api:0", "api:65536"])
def test_targets_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_targets(text)


async def test_every_address_behind_a_name_is_a_replica() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["10.0.0.1", "fd00::1"]

    resolver = TargetResolver(
        parse_targets("api:81,10.0.0.1:81,127.0.0.1:82"), resolve=resolve, timeout=1
    )
    assert await resolver.addresses() == ["10.0.0.1:81", "[fd00::1]:81", "127.0.0.1:82"]


async def test_a_dns_outage_cuts_nobody_off() -> None:
    answers: list[list[str] | OSError] = [["10.0.0.1"], OSError("no answer"), []]

    async def resolve(host: str, port: int) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    resolver = TargetResolver([Target("api", 81)], resolve=resolve, timeout=1)
    assert await resolver.addresses() == ["10.0.0.1:81"]
    assert await resolver.addresses() == ["10.0.0.1:81"]
    assert await resolver.addresses() == []


async def test_each_dns_outage_is_logged_once() -> None:
    answers: list[list[str] | OSError] = [OSError("one"), OSError(), ["10.0.0.1"], OSError("two")]

    async def resolve(host: str, port: int) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    resolver = TargetResolver([Target("api", 81)], resolve=resolve, timeout=1)
    with capture_logs() as lines:
        while answers:
            await resolver.addresses()
    assert [(line["event"], line["host"], line["why"]) for line in lines] == [
        ("callback_target_not_resolved", "api", "OSError('one')"),
        ("callback_target_not_resolved", "api", "OSError('two')"),
    ]
