"""What the store takes and gives: plain values. Prices are ticks, quantities lots, times
microseconds since the Unix epoch, users bigint ids (0 is the venue itself)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from gomatch.engine import OrderType, Reason, SelfTrade, Side, TimeInForce, TradingState
from gomatch.messages.market import MarketDefinition

NEWEST = (1 << 63) - 1
"""Above every number and sequence: where paging from the newest begins."""


class OrderStatus(IntEnum):
    """``orders.status``."""

    OPEN = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELLED = 4
    EXPIRED = 5
    REJECTED = 6
    WAITING = 7
    """A stop that is not triggered."""


OPEN_STATUSES = frozenset((OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED, OrderStatus.WAITING))


class ClaimKind(IntEnum):
    """What a client id names; each kind is a namespace of its own for each user."""

    ORDER = 1
    REQUEST = 2
    DISCONNECT = 3
    """A cancel on disconnect, made by the venue in the user's name: the session's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketRecord:
    market_id: int
    symbol: str
    definition: MarketDefinition
    created_at: int
    managed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketHead:
    """Where a market stands: commands accepted and applied, events, leader's epoch."""

    market_id: int
    symbol: str
    accepted: int
    applied: int
    sequence: int
    epoch: int
    chain: bytes
    state: TradingState
    last_price: int


class Backlog(NamedTuple):
    """What is accepted and not applied: ``oldest`` is the number of the first such command and
    ``oldest_seconds`` its age by the database's clock; both 0 when there is none."""

    accepted: int
    applied: int
    oldest: int
    oldest_seconds: float


class ClientClaim(NamedTuple):
    """A client id inside an accept. ``offset`` is its command's position in the batch, from 0;
    ``digest`` the 16-byte hash of the normalised request."""

    user: int
    kind: int
    client_id: str
    offset: int
    digest: bytes


ClaimKey = tuple[int, int, str]
"""(user, kind, client id)"""


class ClaimedId(NamedTuple):
    market_id: int
    symbol: str
    number: int
    digest: bytes
    accepted_at: int


class Acceptance(NamedTuple):
    """Numbers ``first``..``last`` are durable."""

    first: int
    last: int
    accepted_at: int


class CommandRow(NamedTuple):
    """One accepted batch; ``bodies`` is the compact form of commands first..last."""

    first: int
    last: int
    accepted_at: int
    bodies: bytes


class JournalRow(NamedTuple):
    """One applied batch. Without commands (only expiries), last_number is first_number - 1.
    ``skipped`` are the numbers on which the engine failed and that replay passes over."""

    first_number: int
    last_number: int
    first_sequence: int
    last_sequence: int
    epoch: int
    rules_version: int
    time: int
    events: bytes
    chain: bytes
    skipped: tuple[int, ...]


class SnapshotRow(NamedTuple):
    applied: int
    sequence: int
    time: int
    chain: bytes
    image: bytes


ORDER_COLUMNS = (
    "market_id",
    "number",
    "user_id",
    "client_order_id",
    "side",
    "type",
    "time_in_force",
    "price",
    "stop_price",
    "display",
    "expiry",
    "quantity",
    "filled",
    "remaining",
    "value",
    "status",
    "reason",
    "self_trade",
    "post_only",
    "accepted_at",
    "updated_at",
    "updated_sequence",
)
"""A row of `orders`, in this order.

``value`` is the sum of price * quantity over the fills; quantity = filled + remaining +
cancelled. ``reason`` is empty unless the order was cancelled, rejected, or reduced by self-trade
prevention. ``updated_at`` is the time and ``updated_sequence`` the last sequence of the batch that
changed the order last.
"""

TRADE_COLUMNS = (
    "market_id",
    "sequence",
    "maker_order",
    "maker_user",
    "taker_order",
    "taker_user",
    "taker_side",
    "price",
    "quantity",
    "maker_fee",
    "taker_fee",
    "time",
)
"""A row of `trades`, in this order; fees in tick * lot of the quote asset."""

OrderRow = tuple[
    int, int, int, str, int, int, int, int, int, int, int,
    int, int, int, int, int, str, int, bool, int, int, int,
]  # fmt: skip
OrderUpdateRow = tuple[int, int, int, int, int, int, int, int, int, int, str, int, int]
TradeRow = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
SourceRow = tuple[int, int, int, bytes]
"""(first, last, accepted_at, SHA-256 of the packed commands) of a message of the queue"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """All that one commit writes. ``previous_*`` is the head as this matcher left it;
    ``state_reason`` that of the last change of state in it, None when there was none."""

    market_id: int
    epoch: int
    previous_sequence: int
    previous_chain: bytes
    first_number: int
    last_number: int
    first_sequence: int
    last_sequence: int
    time: int
    rules_version: int
    events: bytes
    chain: bytes
    state: TradingState
    last_price: int
    state_reason: Reason | None = None
    skipped: tuple[int, ...] = ()
    new_orders: list[OrderRow] = field(default_factory=list)
    order_updates: list[OrderUpdateRow] = field(default_factory=list)
    trades: list[TradeRow] = field(default_factory=list)
    sources: list[SourceRow] = field(default_factory=list)


class OrderRecord(NamedTuple):
    """A row of `orders` in the order of ORDER_COLUMNS."""

    market_id: int
    number: int
    user_id: int
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: int
    stop_price: int
    display: int
    expiry: int
    quantity: int
    filled: int
    remaining: int
    value: int
    status: OrderStatus
    reason: str
    self_trade: SelfTrade
    post_only: bool
    accepted_at: int
    updated_at: int
    updated_sequence: int


class TradeRecord(NamedTuple):
    """A row of `trades` in the order of TRADE_COLUMNS."""

    market_id: int
    sequence: int
    maker_order: int
    maker_user: int
    taker_order: int
    taker_user: int
    taker_side: Side
    price: int
    quantity: int
    maker_fee: int
    taker_fee: int
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseMarks:
    """What others asked of the leader. After rebuilding Redis, pass ``refresh_mark`` to
    Leadership.cache_refreshed."""

    refresh_cache: bool
    refresh_mark: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseHolder:
    """``expires_in`` is in seconds by the database's clock; below 0 it has run out."""

    holder: str
    epoch: int
    expires_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyRecord:
    """``rate_limit`` is in commands a second; None: the venue's default."""

    key_id: str
    user_id: int
    user_name: str
    scopes: frozenset[str]
    label: str
    rate_limit: float | None
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DisconnectSession:
    """A session whose user's orders in ``market_ids`` are cancelled when it ends."""

    session_id: str
    user: int
    market_ids: tuple[int, ...]
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimOwner:
    """A Market of a cluster: ``installation`` is the operator's, ``uid`` that of the object."""

    installation: str
    namespace: str
    name: str
    uid: str

    def recreated(self, other: ClaimOwner) -> bool:
        """Whether ``other`` is the same Market by name, if perhaps made anew."""
        return (self.installation, self.namespace, self.name) == (
            other.installation,
            other.namespace,
            other.name,
        )

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} of installation {self.installation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A symbol that is its owner's. ``created``: with the market, just now."""

    market: MarketRecord
    owner: ClaimOwner
    claimed_at: int
    requested_state: TradingState | None
    resume: str | None
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedMarket:
    """All that the store knows of where a market stands.

    ``owner`` is None for a market of the command line; not ``held`` means retained; ``removing``
    that its rows are being removed, and then counters are 0 and ``state`` is CLOSED.
    ``requested_state`` and ``resume`` are the last that an operator acted on. ``state_reason`` is
    None where no matcher has given one. ``lease_holder`` is empty when nobody has the lease, and
    ``lease_seconds`` is how long it runs, below 0 when it has run out. ``image_sequence`` is that
    of the newest image, 0 when there is none.
    """

    market_id: int
    symbol: str
    definition: MarketDefinition
    managed_by: str
    owner: ClaimOwner | None
    held: bool
    claimed_at: int
    requested_state: TradingState | None
    resume: str | None
    removing: bool
    accepted: int
    applied: int
    sequence: int
    epoch: int
    chain: bytes
    state: TradingState
    state_reason: Reason | None
    lease_holder: str
    lease_seconds: float
    refresh_pending: bool
    image_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """What a deleted market has left in servers that were away. ``served``: somebody has a market
    of that symbol again; one that is only retained needs none of it."""

    symbol: str
    queue: bool
    cache: bool
    noted_at: int
    served: bool
