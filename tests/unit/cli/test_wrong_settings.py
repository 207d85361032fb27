"""Settings that cannot work, told in one line and before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pydantic import SecretStr, ValidationError

from gomatch.cli.local.first_run import prepare_database
from gomatch.errors import ConfigurationError
from gomatch.settings import Settings


@pytest.mark.parametrize("program", ["gomatch_api", "gomatch_matcher"])
def test_a_program_says_which_setting_is_wrong_and_keeps_the_password(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", program],
        env={**os.environ, "GOMATCH_POSTGRES_URL": "postgresql://me:hunter2@host:port/"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == (
        f"{program}: GOMATCH_POSTGRES_URL: has a port that is no number from 1 to 65535"
    )


def test_whoever_makes_settings_with_a_wrong_url_is_not_shown_its_password() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(
            redis_url=SecretStr("http://me:hunter2@host/"),
            amqp_url=SecretStr("amqp//me:hunter2@host"),
        )
    assert "hunter2" not in str(caught.value)


async def test_a_server_key_that_cannot_be_used_is_refused_before_a_key_is_made() -> None:
    settings = Settings(
        # Nobody listens there: whoever connects fails otherwise.
        postgres_url=SecretStr("postgresql://gomatch@127.0.0.1:1/gomatch"),
        server_key=SecretStr("no hex"),
    )
    with pytest.raises(ConfigurationError, match="GOMATCH_SERVER_KEY"):
        await prepare_database(settings)
