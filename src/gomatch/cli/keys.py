"""`gomatch keys`: users' API keys, straight on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from gomatch.cli.output import CommandFailed, ExitCode, JsonOption, Output, fields, table
from gomatch.cli.session import database, run
from gomatch.errors import ConfigurationError
from gomatch.messages.credentials import derive_secret, parse_server_key, token
from gomatch.settings import load_settings
from gomatch.store import ApiKeyRecord, ApiKeys

SCOPES = ("read", "trade", "admin")
_NAME_LIMIT = 64


def register(app: typer.Typer) -> None:
    keys = typer.Typer(help="Users' API keys.", no_args_is_help=True)
    app.add_typer(keys, name="keys")

    @keys.command("create")
    def create_key(
        user: Annotated[str, typer.Option(help="Name of the user; made if new.")],
        scopes: Annotated[
            str, typer.Option(help="Comma separated: read, trade, admin.")
        ] = "read,trade",
        label: Annotated[str, typer.Option(help="What the key is for.")] = "",
        rate_limit: Annotated[
            float | None,
            typer.Option(min=0, help="Commands a second for each replica; 0 is no limit."),
        ] = None,
        json: JsonOption = False,
    ) -> None:
        """Create a key. Its token is printed once and cannot be read again."""
        output = Output(json=json)

        async def command() -> None:
            settings = load_settings()
            server_key = _server_key(settings.server_key_text())
            wanted = _scopes(scopes)
            _check_text("--user", user, required=True)
            _check_text("--label", label, required=False)
            async with database(settings) as pool:
                key = await ApiKeys(pool).create(user, wanted, label=label, rate_limit=rate_limit)
            secret = derive_secret(server_key, key.key_id)
            bearer = token(key.key_id, secret)
            output.result(
                {**key_data(key), "secret": secret, "token": bearer},
                fields(
                    (
                        ("key", key.key_id),
                        ("secret", secret),
                        ("token", bearer),
                        ("user", key.user_name),
                        ("scopes", ",".join(sorted(key.scopes))),
                    )
                ),
            )
            output.note("Keep the token now: it is not stored and not shown again.")

        run(output, command)

    @keys.command("list")
    def list_keys(
        active: Annotated[bool, typer.Option("--active", help="Without revoked ones.")] = False,
        json: JsonOption = False,
    ) -> None:
        """All keys, oldest first."""
        output = Output(json=json)

        async def command() -> None:
            async with database(load_settings()) as pool:
                found = await (ApiKeys(pool).all_active() if active else ApiKeys(pool).list())
            output.result(
                [key_data(key) for key in found],
                table(
                    ("key", "user", "scopes", "label", ">rate limit", "created", "revoked"),
                    (
                        (
                            key.key_id,
                            key.user_name,
                            ",".join(sorted(key.scopes)),
                            key.label,
                            key.rate_limit,
                            time_text(key.created_at),
                            time_text(key.revoked_at),
                        )
                        for key in found
                    ),
                ),
            )

        run(output, command)

    @keys.command("revoke")
    def revoke_key(
        key: Annotated[str, typer.Argument(help="The key's id, as in `keys list`.")],
        json: JsonOption = False,
    ) -> None:
        """Revoke a key: within two seconds nothing accepts it and its streams are closed."""
        output = Output(json=json)

        async def command() -> None:
            # Whoever pastes the whole token means its key.
            key_id = key.partition(".")[0]
            async with database(load_settings()) as pool:
                if not await ApiKeys(pool).revoke(key_id):
                    raise CommandFailed(
                        f"there is no key {key_id}", ExitCode.REFUSED, reason="unknown_key"
                    )
            output.result({"key_id": key_id, "revoked": True}, f"revoked {key_id}")

        run(output, command)


def key_data(key: ApiKeyRecord) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "user": key.user_name,
        "user_id": key.user_id,
        "scopes": sorted(key.scopes),
        "label": key.label,
        "rate_limit": key.rate_limit,
        "created_at": time_text(key.created_at),
        "revoked_at": time_text(key.revoked_at),
    }


def time_text(microseconds: int | None) -> str | None:
    """RFC 3339 in UTC, with microseconds."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def _server_key(text: str) -> bytes:
    if not text:
        raise ConfigurationError(
            "GOMATCH_SERVER_KEY is not set: use the API's, or make one with `openssl rand -hex 32`"
        )
    return parse_server_key(text)


def _scopes(text: str) -> list[str]:
    wanted = [scope.strip() for scope in text.split(",") if scope.strip()]
    unknown = sorted(set(wanted) - set(SCOPES))
    if unknown or not wanted:
        raise ConfigurationError(f"--scopes must be some of {','.join(SCOPES)}, not {text!r}")
    return wanted


def _check_text(option: str, text: str, *, required: bool) -> None:
    if (required and not text.strip()) or len(text) > _NAME_LIMIT or not text.isprintable():
        raise ConfigurationError(f"{option} must be at most {_NAME_LIMIT} printable characters")
