"""Credentials in files: read anew each time, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from gomatch.credentials import Credentials, Endpoint, read_lines, read_secret
from gomatch.errors import ConfigurationError, CredentialsMissing
from gomatch.settings import Settings


def write(folder: Path, *, username: str | None = "alice", password: str = "s3cret") -> Path:
    if username is not None:
        (folder / "username").write_text(username)
    (folder / "password").write_text(password)
    return folder


def test_what_the_files_say_now_goes_before_what_the_url_says(tmp_path: Path) -> None:
    endpoint = Endpoint("postgresql://bob:old@db:5432/gomatch?sslmode=require", write(tmp_path))
    assert endpoint.current_url() == "postgresql://alice:s3cret@db:5432/gomatch?sslmode=require"
    write(tmp_path, password="rotated")
    assert endpoint.current_url() == "postgresql://alice:rotated@db:5432/gomatch?sslmode=require"


def test_without_a_folder_the_url_stays_as_it_is() -> None:
    assert Endpoint.of("amqp://bob:old@broker/").current_url() == "amqp://bob:old@broker/"
    assert Endpoint.of("amqp://bob:old@broker/").credentials() is None


def test_one_line_end_after_a_secret_is_not_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, username="alice\n", password=" with spaces \r\n")
    credentials = Endpoint("redis://cache/0", tmp_path).credentials()
    assert credentials == Credentials("alice", " with spaces ")


def test_any_character_may_stand_in_a_password(tmp_path: Path) -> None:
    write(tmp_path, username="a@b", password="p:@/?#% ä")
    url = Endpoint("amqps://broker:5671/v?cafile=/ca", tmp_path).current_url()
    assert url == "amqps://a%40b:p%3A%40%2F%3F%23%25%20%C3%A4@broker:5671/v?cafile=/ca"


def test_the_user_of_the_url_serves_where_no_file_names_one(tmp_path: Path) -> None:
    write(tmp_path, username=None)
    endpoint = Endpoint("postgresql://bob:old@one:1,two:2/gomatch", tmp_path)
    assert endpoint.current_url() == "postgresql://bob:s3cret@one:1,two:2/gomatch"
    assert endpoint.anonymous_url() == "postgresql://one:1,two:2/gomatch"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsMissing, match="password does not exist"):
        Endpoint("redis://cache/0", tmp_path).credentials()
    with pytest.raises(CredentialsMissing, match="nowhere/username does not exist"):
        Endpoint("redis://cache/0", tmp_path / "nowhere").credentials()
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(CredentialsMissing, match="empty is empty"):
        read_secret(tmp_path / "empty")
    with pytest.raises(CredentialsMissing, match="empty is empty"):
        read_lines(tmp_path / "empty")
    with pytest.raises(CredentialsMissing, match=f"{tmp_path} cannot be read"):
        read_secret(tmp_path)


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"hunter2\xff")
    endpoint = Endpoint("redis://bob:hunter2@cache/0", tmp_path)
    with pytest.raises(CredentialsMissing) as caught:
        endpoint.credentials()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(endpoint)
    assert "hunter2" not in repr(Credentials("bob", "hunter2"))


def test_settings_read_keys_and_tokens_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ab" * 32 + "\n")
    (tmp_path / "token").write_text("new\n\n  old  \n")
    settings = Settings(server_key_file=tmp_path / "key", callback_token_file=tmp_path / "token")
    assert settings.server_key_text() == "ab" * 32
    assert settings.callback_tokens() == ["new", "old"]
    (tmp_path / "token").write_text("newer")
    assert settings.callback_tokens() == ["newer"]


def test_a_program_names_a_missing_file_before_it_does_anything(tmp_path: Path) -> None:
    for name in ("postgres_credentials", "redis_credentials", "amqp_credentials"):
        settings = Settings(**{name: tmp_path})  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="password does not exist"):
            settings.check_files()
    for name in ("server_key_file", "callback_token_file"):
        settings = Settings(**{name: tmp_path / "gone"})  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="gone does not exist"):
            settings.check_files()
    Settings().check_files()


def test_an_empty_variable_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMATCH_POSTGRES_CREDENTIALS", "")
    assert Settings().postgres_credentials is None
