"""All settings of every gomatch program, in one typed object.

They are read from environment variables that begin with ``GOMATCH_``; ``docs/configuration.md``
is made from this module by ``gomatch settings``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from gomatch.credentials import Endpoint, read_lines, read_secret
from gomatch.errors import ConfigurationError


class Settings(BaseSettings):
    """Durations are seconds unless the name says otherwise."""

    # Without the input: passwords and keys would stand in every message about a wrong value.
    model_config = SettingsConfigDict(
        env_prefix="GOMATCH_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    # Servers
    postgres_url: SecretStr = Field(
        default=SecretStr("postgresql://gomatch@127.0.0.1:5432/gomatch"),
        description="PostgreSQL, the truth. libpq-style URL.",
    )
    postgres_credentials: Path | None = Field(
        default=None,
        description="Folder with the files `username` and `password`, which go before those of "
        "the URL and are read again for each connection.",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), description="Redis or Valkey, the mirror."
    )
    redis_credentials: Path | None = Field(
        default=None, description="The same for Redis; `username` may be absent or empty."
    )
    transport: Literal["rabbitmq", "inprocess"] = Field(
        default="rabbitmq",
        description="What carries commands to matchers. `inprocess` only works where API and "
        "matchers share one process, as under `gomatch up`.",
    )
    amqp_url: SecretStr = Field(
        default=SecretStr("amqp://guest:guest@127.0.0.1:5672/"), description="RabbitMQ."
    )
    amqp_credentials: Path | None = Field(default=None, description="The same for RabbitMQ.")
    queue_length: int = Field(
        default=100_000,
        ge=0,
        description="Batches that may wait in a market's queue at RabbitMQ; 0 is no limit. What "
        "finds it full is read from PostgreSQL. The same for API and matchers; a queue that is "
        "there keeps the length it was made with.",
    )
    server_key: SecretStr = Field(
        default=SecretStr(""),
        description="Hex, at least 32 bytes: the key from which the secrets of API keys are "
        "derived. The same on every replica. Required by the API and by `gomatch keys`.",
    )
    server_key_file: Path | None = Field(
        default=None,
        description="File with the server key, instead of the key itself; read at the start.",
    )
    callback_token: SecretStr = Field(
        default=SecretStr(""),
        description="Secret by which API replicas know the matchers that call them: the same for "
        "all. Whoever reaches the callback port may speak for a market if empty.",
    )
    callback_token_file: Path | None = Field(
        default=None,
        description="File with callback tokens, one a line, instead of the token itself; read "
        "again for each stream. An API replica takes any of them, a matcher sends the first.",
    )
    pod_name: str = Field(
        default="",
        description="Name of the pod that this process runs in. The holder of a lease begins with "
        "it, and a program that cannot serve yet stays up, not ready, and says why, instead of "
        "ending.",
    )

    # API
    api_host: str = Field(default="127.0.0.1", description="Address the API listens on.")
    api_port: int = Field(default=8080, ge=0, le=65535, description="HTTP and WebSocket port.")
    callback_host: str = Field(default="127.0.0.1", description="Address of the gRPC callback.")
    callback_port: int = Field(
        default=8081, ge=0, le=65535, description="Port of the gRPC callback server of the API."
    )
    keep_alive: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="Time that an idle connection to the API is kept. Longer than a balancer in "
        "front keeps its own, or it sends a request as the connection ends.",
    )
    shutdown_delay: float = Field(
        default=0.0,
        ge=0,
        le=600,
        description="Time that an API replica which is to stop goes on serving, no longer ready, "
        "so that balancers send nothing more.",
    )
    accept_batch: int = Field(
        default=500, ge=1, le=5000, description="Most commands in one accepting transaction."
    )
    accept_interval: float = Field(
        default=0.005,
        ge=0,
        le=0.5,
        description="Shortest time between the beginnings of two accepting transactions of one "
        "market: under load more commands share each, and every later hop. Up to six times as "
        "long while accepts are slow; an order that comes after a quiet moment does not wait.",
    )
    intake_limit: int = Field(
        default=20_000,
        ge=1,
        description="Commands of one market that may wait in one replica to be accepted; more "
        "are answered 503 `overloaded` at once.",
    )
    backlog_limit: int = Field(
        default=200_000,
        ge=1,
        description="accepted - applied at which a market refuses new commands with 503 "
        "`backlog_full`.",
    )
    request_limit_bytes: int = Field(
        default=1_048_576, ge=1024, description="Largest HTTP request body."
    )
    rate_limit: float = Field(
        default=0.0,
        ge=0,
        description="Commands a second for each API key and replica; 0 is no limit. A key may "
        "carry a limit of its own.",
    )
    rate_burst: float = Field(
        default=2.0, ge=1, description="Seconds' worth of rate_limit that may come at once."
    )
    result_timeout: float = Field(
        default=5.0, gt=0, description="Longest wait of `?wait=result` before `pending`."
    )
    key_refresh: float = Field(
        default=1.0, gt=0, le=1.5, description="How often revoked keys are looked for."
    )
    stream_buffer: int = Field(
        default=2_000,
        ge=10,
        description="Messages that may wait for one WebSocket reader before it is closed with "
        "`slow_reader`.",
    )
    stream_message_bytes: int = Field(
        default=262_144, ge=1024, description="Largest WebSocket message from a client."
    )
    stream_messages_per_second: float = Field(
        default=200.0, gt=0, description="Messages a second that one WebSocket client may send."
    )
    stream_heartbeat: float = Field(default=5.0, gt=0, description="Heartbeat on every stream.")
    replay_events: int = Field(
        default=500_000,
        ge=1,
        description="Events of the journal that one resumed stream may walk through; further "
        "back it is `resync_required`.",
    )

    # Matcher
    market: str = Field(default="", description="The symbol this matcher process serves.")
    callback_targets: str = Field(
        default="127.0.0.1:8081",
        description="API replicas, comma separated host:port; a name is resolved again all the "
        "time and every address behind it is one replica.",
    )
    callback_buffer: int = Field(
        default=512, ge=1, description="Batches kept for one API replica before its stream drops."
    )
    match_batch: int = Field(
        default=1_000, ge=1, description="Most commands in one commit of the matcher."
    )
    prefetch: int = Field(
        default=100, ge=1, description="Unacknowledged RabbitMQ messages a matcher may hold."
    )
    snapshot_every: int = Field(
        default=500_000, ge=1, description="Commands after which a new image is written."
    )
    snapshot_interval: float = Field(
        default=0.0,
        ge=0,
        description="Time after which a new image is written, if anything was applied since the "
        "last one; 0 is off.",
    )
    lease_seconds: float = Field(
        default=3.0, gt=0.2, description="A leader that did not renew for this long has lost it."
    )
    lease_renew: float = Field(default=1.0, gt=0.05, description="How often the lease is renewed.")
    lease_stall_limit: float = Field(
        default=60.0,
        gt=0,
        description="A leader whose event loop stands still for so long lets its lease run out.",
    )
    gap_timeout: float = Field(
        default=0.25,
        gt=0,
        description="Silence of the queue while accepted > applied, after which the matcher "
        "reads the commands from PostgreSQL.",
    )
    matcher_host: str = Field(default="127.0.0.1", description="Address of health and metrics.")
    matcher_port: int = Field(
        default=0, ge=0, le=65535, description="Port of the matcher's health and metrics."
    )

    # Everyone
    database_timeout: float = Field(default=10.0, gt=0, description="Limit of one statement.")
    database_pool: int = Field(
        default=8, ge=2, description="Connections of one API process for reading."
    )
    accept_pool: int = Field(
        default=6,
        ge=1,
        description="Connections of one API process for accepting commands. Beside these and those "
        "for reading it has two for keys, for cancel-on-disconnect and for looking whether "
        "PostgreSQL is there.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Nothing less severe is logged."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="One JSON object a line, or text for people."
    )
    otlp_endpoint: str = Field(
        default="",
        description="OTLP over HTTP for traces, e.g. http://127.0.0.1:4318; off if empty.",
    )
    trace_ratio: float = Field(default=0.01, ge=0, le=1, description="Share of requests traced.")
    data: Path = Field(
        default=Path(".data"), description="Folder in which `gomatch up` keeps its servers' data."
    )

    @property
    def postgres(self) -> Endpoint:
        return Endpoint(self.postgres_url.get_secret_value(), self.postgres_credentials)

    @property
    def redis(self) -> Endpoint:
        return Endpoint(self.redis_url.get_secret_value(), self.redis_credentials)

    @property
    def amqp(self) -> Endpoint:
        return Endpoint(self.amqp_url.get_secret_value(), self.amqp_credentials)

    def server_key_text(self) -> str:
        """The server key as hex, empty when none is set. Raises CredentialsMissing."""
        if self.server_key_file is not None:
            return read_secret(self.server_key_file)
        return self.server_key.get_secret_value()

    def callback_tokens(self) -> list[str]:
        """Those that are valid now, the preferred one first; empty when none is set. Raises
        CredentialsMissing."""
        if self.callback_token_file is not None:
            return read_lines(self.callback_token_file)
        token = self.callback_token.get_secret_value()
        return [token] if token else []

    def check_files(self) -> None:
        """Read once what stands in files, so that one which is missing is named at the start.
        Raises CredentialsMissing."""
        for server in (self.postgres, self.redis, self.amqp):
            server.credentials()
        self.server_key_text()
        self.callback_tokens()

    @field_validator(
        "postgres_credentials",
        "redis_credentials",
        "amqp_credentials",
        "server_key_file",
        "callback_token_file",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, path: object) -> object:
        return None if path == "" else path

    @field_validator("postgres_url", "redis_url", "amqp_url")
    @classmethod
    def _check_url(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        check_url(url.get_secret_value(), _SCHEMES[str(info.field_name)])
        return url


_SCHEMES = {
    "postgres_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "amqp_url": ("amqp", "amqps"),
}


def load_settings() -> Settings:
    """From the environment. Raises ConfigurationError naming what cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"GOMATCH_{'_'.join(map(str, each['loc'])).upper()}: {_said(each)}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(wrong) from error


def _said(refusal: ErrorDetails) -> str:
    return refusal["msg"].removeprefix("Value error, ")


def check_url(url: str, schemes: Sequence[str]) -> None:
    """``url`` may name several hosts, separated by commas. Raises ValueError, which never repeats
    the URL: there may be a password in it."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in schemes:
        raise ValueError("must begin with " + " or ".join(f"{name}://" for name in schemes))
    authority = rest.partition("?")[0].partition("/")[0]
    for host in authority.rpartition("@")[2].split(","):
        try:
            port = urlsplit(f"//{host}").port
        except ValueError as error:
            raise ValueError("has a port that is no number from 1 to 65535") from error
        if port == 0:
            raise ValueError("has a port that is no number from 1 to 65535")
