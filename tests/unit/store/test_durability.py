"""What PostgreSQL's settings put at risk is told at the start."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
import pytest

from gomatch.store import durability_warnings

SAFE = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "ANY 1 (a, b)",
}


class Settings:
    """A server with these settings."""

    def __init__(self, **changes: str) -> None:
        self._settings = SAFE | changes

    async def fetch(self, sql: str, names: list[str]) -> list[dict[str, Any]]:
        assert "pg_settings" in sql
        return [{"name": name, "setting": self._settings[name]} for name in names]


async def warnings(**changes: str) -> list[str]:
    return list(await durability_warnings(cast("asyncpg.Pool", Settings(**changes))))


@pytest.mark.parametrize("commit", ["on", "remote_apply", "remote_write"])
async def test_a_server_that_keeps_what_was_acknowledged_gives_no_warning(commit: str) -> None:
    assert await warnings(synchronous_commit=commit) == []


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("fsync", "off", "fsync is off"),
        ("full_page_writes", "off", "full_page_writes is off"),
        ("synchronous_commit", "off", "synchronous_commit is off"),
        ("synchronous_commit", "local", "synchronous_commit is local"),
        ("synchronous_standby_names", "", "no synchronous standby"),
    ],
)
async def test_each_setting_that_can_lose_a_command_is_named(
    setting: str, value: str, says: str
) -> None:
    (warning,) = await warnings(**{setting: value})
    assert says in warning


async def test_all_of_them_are_named_together() -> None:
    assert (
        len(await warnings(**dict.fromkeys(SAFE, "off") | {"synchronous_standby_names": ""})) == 4
    )
