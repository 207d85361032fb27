"""Claims as they are read, and whether they let an owner write."""

from __future__ import annotations

from typing import Any

from gomatch.engine import Reason, TradingState
from gomatch.errors import (
    ClaimHeld,
    ClaimRetained,
    ForeignMarket,
    RemovalUnfinished,
    UnknownMarket,
)
from gomatch.messages.market import MarketDefinition
from gomatch.store.market_rows import check_identity, decoded
from gomatch.store.records import Claim, ClaimedMarket, ClaimOwner, MarketRecord

OBSERVE = """
SELECT m.market_id, m.symbol, m.definition::text, m.managed_by,
       c.installation, c.namespace, c.name, c.uid, c.held, c.claimed_at, c.requested_state,
       c.resume, c.removing,
       i.accepted, h.applied, h.sequence, h.epoch, h.chain, h.state, h.state_reason,
       l.holder, (l.expires_at - gomatch_now()) / 1e6::float8 AS lease_seconds,
       l.refresh_requested > l.refresh_done AS refresh_pending,
       (SELECT s.sequence FROM snapshots AS s WHERE s.market_id = m.market_id
         ORDER BY s.sequence DESC LIMIT 1) AS image_sequence
  FROM markets AS m
  LEFT JOIN claims AS c ON c.symbol = m.symbol
  LEFT JOIN intake AS i ON i.market_id = m.market_id
  LEFT JOIN heads AS h ON h.market_id = m.market_id
  LEFT JOIN leases AS l ON l.market_id = m.market_id
"""
_CLAIM = """
SELECT m.market_id, m.definition::text AS definition, m.created_at, m.managed_by,
       c.installation, c.namespace, c.name, c.uid, c.held, c.claimed_at, c.requested_state,
       c.resume, c.removing
  FROM markets AS m LEFT JOIN claims AS c USING (symbol)
 WHERE m.symbol = $1
"""
_LOCK = "SELECT FROM claims WHERE symbol = $1 FOR UPDATE"


async def find_claim(connection: Any, symbol: str) -> Any | None:
    """The market's row, its claim's columns empty where it has none; None when there is no such
    market."""
    return await connection.fetchrow(_CLAIM, symbol)


async def lock_claim(connection: Any, symbol: str) -> Any | None:
    """The same, with the claim locked until the transaction ends."""
    await connection.execute(_LOCK, symbol)
    return await find_claim(connection, symbol)


async def locked_claim(connection: Any, symbol: str) -> Any:
    """The same. Raises UnknownMarket."""
    found = await lock_claim(connection, symbol)
    if found is None:
        raise UnknownMarket(f"there is no market {symbol}")
    return found


def may_claim(symbol: str, found: Any, owner: ClaimOwner, *, adopt: bool) -> bool:
    """Whether the claim is the owner's as it stands; False: it may be taken. Raises what ``claim``
    does."""
    holder = owner_of(found)
    if holder is None:
        raise _foreign(symbol)
    if found["removing"]:
        raise _unfinished(symbol)
    if found["held"] and holder == owner:
        return True
    if not owner.recreated(holder):
        if found["held"]:
            raise _held(symbol, holder)
        if not adopt:
            raise _retained(symbol, holder)
    return False


def check_owner(symbol: str, found: Any, owner: ClaimOwner) -> None:
    """Raises ClaimHeld, ClaimRetained, ForeignMarket, RemovalUnfinished unless the claim is held by
    the owner."""
    holder = owner_of(found)
    if holder is None:
        raise _foreign(symbol)
    if found["removing"]:
        raise _unfinished(symbol)
    if not found["held"]:
        raise _retained(symbol, holder)
    if holder != owner:
        raise _held(symbol, holder)


def _foreign(symbol: str) -> ForeignMarket:
    return ForeignMarket(
        f"market {symbol} was made by the command line and is no operator's: use another symbol"
    )


def _unfinished(symbol: str) -> RemovalUnfinished:
    return RemovalUnfinished(f"market {symbol} is being removed: finish that first")


def _held(symbol: str, holder: ClaimOwner) -> ClaimHeld:
    return ClaimHeld(
        f"{symbol} belongs to Market {holder} (uid {holder.uid})",
        installation=holder.installation,
        namespace=holder.namespace,
        name=holder.name,
    )


def _retained(symbol: str, holder: ClaimOwner) -> ClaimRetained:
    return ClaimRetained(
        f"{symbol} was retained when Market {holder} was deleted: adopt it to go on with its data",
        installation=holder.installation,
        namespace=holder.namespace,
        name=holder.name,
    )


def owner_of(row: Any) -> ClaimOwner | None:
    if row["installation"] is None:
        return None
    return ClaimOwner(
        installation=row["installation"],
        namespace=row["namespace"],
        name=row["name"],
        uid=row["uid"],
    )


def _state(value: int | None) -> TradingState | None:
    return None if value is None else TradingState(value)


def read_claim(symbol: str, row: Any, wanted: MarketDefinition, *, created: bool = False) -> Claim:
    """Raises IdentityMismatch."""
    owner = owner_of(row)
    assert owner is not None
    market = MarketRecord(
        market_id=row["market_id"],
        symbol=symbol,
        definition=decoded(row["definition"]),
        created_at=row["created_at"],
        managed_by=row["managed_by"],
    )
    check_identity(market.definition, wanted)
    return Claim(
        market=market,
        owner=owner,
        claimed_at=row["claimed_at"],
        requested_state=_state(row["requested_state"]),
        resume=row["resume"],
        created=created,
    )


def read_claimed_market(row: Any) -> ClaimedMarket:
    owner = owner_of(row)
    return ClaimedMarket(
        market_id=row["market_id"],
        symbol=row["symbol"],
        definition=decoded(row["definition"]),
        managed_by=row["managed_by"],
        owner=owner,
        held=bool(row["held"]),
        claimed_at=row["claimed_at"] or 0,
        requested_state=_state(row["requested_state"]),
        resume=row["resume"],
        removing=bool(row["removing"]),
        accepted=row["accepted"] or 0,
        applied=row["applied"] or 0,
        sequence=row["sequence"] or 0,
        epoch=row["epoch"] or 0,
        chain=row["chain"] or bytes(32),
        state=_state(row["state"]) or TradingState.CLOSED,
        state_reason=Reason(row["state_reason"]) if row["state_reason"] else None,
        lease_holder=row["holder"] or "",
        lease_seconds=row["lease_seconds"] or 0.0,
        refresh_pending=bool(row["refresh_pending"]),
        image_sequence=row["image_sequence"] or 0,
    )
