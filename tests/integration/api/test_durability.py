"""A replica that starts on a PostgreSQL which may lose what it acknowledges says so."""

from __future__ import annotations

import asyncpg
import pytest
from structlog.testing import capture_logs

from tests.integration.api.conftest import Starter


@pytest.mark.parametrize("commit", ["on", "off"])
async def test_a_start_warns_of_each_setting_that_can_lose_commands(
    commit: str, start: Starter
) -> None:
    """The tests' server has fsync off and no standby."""
    connection = await asyncpg.connect(start.database_url)
    try:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {commit}")
    finally:
        await connection.close()
    with capture_logs() as logs:
        await start()
    warnings = [line["warning"] for line in logs if line["event"] == "durability"]
    assert all(line["log_level"] == "warning" for line in logs if line["event"] == "durability")
    named = [str(warning).split(":")[0] for warning in warnings]
    expected = ["fsync is off", "full_page_writes is off", "no synchronous standby"]
    if commit == "off":
        expected.insert(2, "synchronous_commit is off")
    assert named == expected
