"""A Market as the operator reads it: the object of the API server, typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from gomatch.engine import TradingState
from gomatch.errors import ConfigurationError
from gomatch.messages.market import BandModeName, MarketDefinition, SelfTradeName
from gomatch_operator import names

_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class MarketKey(NamedTuple):
    """What the work queue is keyed by."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


StateName = Literal["Running", "Auction", "CancelOnly", "Halted", "Closed"]


class PriceBand(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    mode: Literal["None", "Refuse", "Halt"] = "Refuse"
    fraction: str = "0"


class Fees(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    maker: str = "0"
    taker: str = "0"


class Matcher(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    image: str = ""
    image_pull_policy: str = ""
    resources: dict[str, Any] = {}
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    affinity: dict[str, Any] = {}
    priority_class_name: str = ""
    pod_labels: dict[str, str] = {}
    pod_annotations: dict[str, str] = {}


class Queue(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    max_length: int = 100_000


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    interval: str = "15m"


class Retention(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    orders: str | None = None
    journal: str | None = None


class MarketSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    symbol: str
    base: str
    quote: str
    tick_size: str
    lot_size: str
    min_quantity: str | None = None
    max_quantity: str | None = None
    min_notional: str | None = None
    reference_price: str | None = None
    state: StateName = "Running"
    transport: Literal["RabbitMQ", "Kafka"] = "RabbitMQ"
    self_trade_prevention: Literal[
        "None", "CancelNewest", "CancelOldest", "CancelBoth", "Decrement"
    ] = "CancelNewest"
    price_band: PriceBand | None = None
    fees: Fees = Fees()
    max_open_orders: int = 0
    standbys: int = 0
    matcher: Matcher = Matcher()
    queue: Queue = Queue()
    snapshot: Snapshot = Snapshot()
    retention: Retention = Retention()
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    drain_timeout_seconds: int = 300


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """``spec`` is None when it cannot be read: then ``problem`` says why. ``status`` is as of
    ``status_version``: what the operator wrote may be newer than all else."""

    key: MarketKey
    uid: str
    generation: int
    resource_version: str
    created_at: int
    """Microseconds since the epoch."""
    deleting: bool
    deleted_at: int = 0
    """Microseconds since the epoch; 0 while it is not being deleted."""
    annotations: Mapping[str, str]
    finalizers: tuple[str, ...]
    spec: MarketSpec | None
    problem: str = ""
    status: Mapping[str, Any]
    status_version: str = ""

    @property
    def paused(self) -> bool:
        return self.annotations.get(names.ANNOTATION_PAUSED) == "true"

    @property
    def has_finalizer(self) -> bool:
        return names.FINALIZER in self.finalizers


def read_market(body: Mapping[str, Any]) -> Market:
    """From an object of the API server. A spec that an older CRD let through is no error here:
    it makes the Market's ``problem``."""
    metadata = body["metadata"]
    spec: MarketSpec | None = None
    problem = ""
    try:
        spec = msgspec.convert(body.get("spec"), MarketSpec)
    except msgspec.ValidationError as error:
        problem = str(error)
    return Market(
        key=MarketKey(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        resource_version=metadata.get("resourceVersion", ""),
        created_at=microseconds(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        deleted_at=microseconds(metadata["deletionTimestamp"])
        if "deletionTimestamp" in metadata
        else 0,
        annotations={
            name: text
            for name, text in (metadata.get("annotations") or {}).items()
            if name.startswith(f"{names.GROUP}/")
        },
        finalizers=tuple(metadata.get("finalizers") or ()),
        spec=spec,
        problem=problem,
        status=body.get("status") or {},
        status_version=metadata.get("resourceVersion", ""),
    )


def seconds(duration: str) -> int:
    """Of a duration as 30s, 15m, 1h or 7d. Raises ConfigurationError."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ConfigurationError(f"{duration!r} is no duration such as 30s, 15m, 1h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


def definition(spec: MarketSpec) -> MarketDefinition:
    """The exchange's view of the spec; its ``config()`` says whether it can work."""
    band = spec.price_band or PriceBand(mode="None")
    return MarketDefinition(
        base=spec.base,
        quote=spec.quote,
        tick_size=spec.tick_size,
        lot_size=spec.lot_size,
        min_quantity=spec.min_quantity,
        max_quantity=spec.max_quantity,
        min_notional=spec.min_notional,
        self_trade_prevention=_SELF_TRADE[spec.self_trade_prevention],
        price_band_mode=_BAND_MODE[band.mode],
        price_band=band.fraction,
        reference_price=spec.reference_price,
        maker_fee=spec.fees.maker,
        taker_fee=spec.fees.taker,
        max_open_orders=spec.max_open_orders,
    )


def trading_state(name: StateName) -> TradingState:
    return _STATES[name]


def state_name(state: TradingState) -> StateName:
    return _STATE_NAMES[state]


def microseconds(timestamp: str) -> int:
    """Since the epoch, of a timestamp of the API server."""
    return int(datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp() * 1_000_000)


_SELF_TRADE: Mapping[str, SelfTradeName] = {
    "None": "none",
    "CancelNewest": "cancel_newest",
    "CancelOldest": "cancel_oldest",
    "CancelBoth": "cancel_both",
    "Decrement": "decrement",
}
_BAND_MODE: Mapping[str, BandModeName] = {"None": "none", "Refuse": "refuse", "Halt": "halt"}
_STATES: Mapping[StateName, TradingState] = {
    "Running": TradingState.RUNNING,
    "Auction": TradingState.AUCTION,
    "CancelOnly": TradingState.CANCEL_ONLY,
    "Halted": TradingState.HALTED,
    "Closed": TradingState.CLOSED,
}
_STATE_NAMES: Mapping[TradingState, StateName] = {state: name for name, state in _STATES.items()}
