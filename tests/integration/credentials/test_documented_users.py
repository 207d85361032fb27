"""The commands of docs/credentials.md, pasted, give the rights that other tests run with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from redis.asyncio import Redis

from tests.fixtures.management import OPERATOR_RIGHTS, OPERATOR_TAG
from tests.fixtures.pasted import code_blocks
from tests.integration.operator.test_cache_layer import MATCHER_RULES, OPERATOR_RULES
from tests.integration.transport.test_least_rights import API_RIGHTS, MATCHER_RIGHTS, NOTHING

_PAGE = "docs/credentials.md"
_RECORDER = '#!/bin/sh\nprintf "%s\\n" "$@" "" >>calls\n'


def test_the_users_of_rabbitmq(tmp_path: Path) -> None:
    calls = pasted("rabbitmqctl", code_blocks(_PAGE, "sh")[0], tmp_path)
    rights = {call[3]: call[4:] for call in calls if call[0] == "set_permissions"}
    tags = {call[1]: call[2] for call in calls if call[0] == "set_user_tags"}

    assert rights == {
        "gomatch-operator": [OPERATOR_RIGHTS] * 3,
        "gomatch-matcher": [MATCHER_RIGHTS] * 3,
        "gomatch-api": [API_RIGHTS, API_RIGHTS, NOTHING],
    }
    assert tags == {"gomatch-operator": OPERATOR_TAG}
    assert {call[1] for call in calls if call[0] == "add_user"} == rights.keys()


async def test_the_users_of_redis(redis_url: str, tmp_path: Path) -> None:
    calls = pasted("redis-cli", code_blocks(_PAGE, "sh")[1], tmp_path)
    users = {call[2]: call[3:] for call in calls if call[1] == "SETUSER"}

    assert users == {
        "gomatch-matcher": ["on", ">PASSWORD", *MATCHER_RULES.split()],
        "gomatch-operator": ["on", ">PASSWORD", *OPERATOR_RULES.split()],
    }
    async with Redis.from_url(redis_url) as client:
        for name, rules in users.items():
            await client.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]
            await client.execute_command("ACL", "DELUSER", name)  # type: ignore[no-untyped-call]


def pasted(program: str, script: str, folder: Path) -> list[list[str]]:
    """Run it in a shell. Returns the arguments of each call of ``program``, which does nothing."""
    stand_in = folder / program
    stand_in.write_text(_RECORDER)
    stand_in.chmod(0o755)
    subprocess.run(
        ["/bin/sh", "-eu", "-c", script],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        cwd=folder,
        check=True,
        timeout=30,
    )
    recorded = (folder / "calls").read_text().strip().split("\n\n")
    return [call.splitlines() for call in recorded]
