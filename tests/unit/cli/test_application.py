"""The `gomatch` command as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gomatch.cli import application, use_local_venue

COMMANDS = (
    "up",
    "migrate",
    "keys",
    "markets",
    "orders",
    "watch",
    "load",
    "audit",
    "replay",
    "settings",
    "api",
    "matcher",
)


def test_help_names_every_command_and_the_exit_codes() -> None:
    result = CliRunner().invoke(application([]), ["--help"])
    assert result.exit_code == 0, result.output
    for command in COMMANDS:
        assert f" {command} " in result.output
    assert "Exit codes" in result.output
    assert "Not installed" not in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(application([command]), [command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(application(["nonsense"]), ["nonsense"]).exit_code == 2


@pytest.mark.parametrize("command", ["api", "matcher"])
def test_a_command_whose_libraries_are_missing_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")

    monkeypatch.setattr("gomatch.cli.import_module", missing)
    result = CliRunner().invoke(application([command]), [command, "--port", "1"])
    assert result.exit_code == 2
    assert f"needs uvicorn: pip install 'gomatch[{command}]'" in result.output


def test_commands_find_the_venue_of_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "environment").write_text(
        "GOMATCH_POSTGRES_URL=postgresql://here/\nGOMATCH_REDIS_URL=redis://here/\nPATH=/evil\n"
    )
    environment = {"GOMATCH_DATA": str(tmp_path), "GOMATCH_REDIS_URL": "redis://elsewhere/"}
    monkeypatch.setattr("os.environ", environment)
    use_local_venue(["up"])
    assert "GOMATCH_POSTGRES_URL" not in environment
    use_local_venue(["keys", "list"])
    assert environment["GOMATCH_POSTGRES_URL"] == "postgresql://here/"
    assert environment["GOMATCH_REDIS_URL"] == "redis://elsewhere/"
    assert "PATH" not in environment
