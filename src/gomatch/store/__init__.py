"""PostgreSQL, the truth: schema, migrations and every query. Imports nothing of the transport or
the cache; all that fails raises StoreError or one of its kinds (gomatch.errors)."""

from gomatch.store.claims import MANAGED_BY, Claims
from gomatch.store.commits import Commits, source_row
from gomatch.store.disconnects import Disconnects
from gomatch.store.intake import Intake
from gomatch.store.journal import Journal, row_chain
from gomatch.store.keys import ApiKeys
from gomatch.store.leadership import Leadership
from gomatch.store.market_rows import state_backlog_limit
from gomatch.store.markets import Markets
from gomatch.store.migrations import check_schema, migrate
from gomatch.store.orders import Orders
from gomatch.store.pool import Probe, close_pool, connect_pool, durability_warnings
from gomatch.store.records import (
    OPEN_STATUSES,
    ORDER_COLUMNS,
    TRADE_COLUMNS,
    Acceptance,
    ApiKeyRecord,
    Backlog,
    Batch,
    Claim,
    ClaimedId,
    ClaimedMarket,
    ClaimKey,
    ClaimKind,
    ClaimOwner,
    ClientClaim,
    CommandRow,
    DisconnectSession,
    JournalRow,
    Leader,
    LeaseHolder,
    LeaseMarks,
    Leftover,
    MarketHead,
    MarketRecord,
    OrderRecord,
    OrderRow,
    OrderStatus,
    OrderUpdateRow,
    SnapshotRow,
    SourceRow,
    TradeRecord,
    TradeRow,
)
from gomatch.store.snapshots import Snapshots
from gomatch.store.trades import Trades

__all__ = [
    "MANAGED_BY",
    "OPEN_STATUSES",
    "ORDER_COLUMNS",
    "TRADE_COLUMNS",
    "Acceptance",
    "ApiKeyRecord",
    "ApiKeys",
    "Backlog",
    "Batch",
    "Claim",
    "ClaimKey",
    "ClaimKind",
    "ClaimOwner",
    "ClaimedId",
    "ClaimedMarket",
    "Claims",
    "ClientClaim",
    "CommandRow",
    "Commits",
    "DisconnectSession",
    "Disconnects",
    "Intake",
    "Journal",
    "JournalRow",
    "Leader",
    "Leadership",
    "LeaseHolder",
    "LeaseMarks",
    "Leftover",
    "MarketHead",
    "MarketRecord",
    "Markets",
    "OrderRecord",
    "OrderRow",
    "OrderStatus",
    "OrderUpdateRow",
    "Orders",
    "Probe",
    "SnapshotRow",
    "Snapshots",
    "SourceRow",
    "TradeRecord",
    "TradeRow",
    "Trades",
    "check_schema",
    "close_pool",
    "connect_pool",
    "durability_warnings",
    "migrate",
    "row_chain",
    "source_row",
    "state_backlog_limit",
]
