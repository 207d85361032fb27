"""Reading orders: the rows that matchers write, and what is accepted but not applied yet."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from gomatch.engine import NewOrder
from gomatch.messages.codec import unpack_commands
from gomatch.messages.market import parse_order_id
from gomatch.store import Journal, Orders
from gomatch.store.records import OrderStatus
from gomatch_api import codes
from gomatch_api.client_ids import ClientOrderIds
from gomatch_api.markets import Market, MarketRegistry
from gomatch_api.problems import Problem
from gomatch_api.rendering import STATUS_NAMES, order_of, pending_order
from gomatch_api.responses import Order
from gomatch_api.responses import Orders as OrdersPage
from gomatch_api.transform import client_id

CLIENT_PREFIX = "client:"
"""``client:<client_order_id>`` names an order in place of its id."""

PENDING_WINDOW = 20_000
"""Commands of one market, from the newest, among which a list looks for pending orders."""

_cursor_decoder = msgspec.msgpack.Decoder(tuple[int, int])

Place = tuple[int, int]
"""(market id, number or sequence): a row's key, and what cursors hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFilter:
    """``statuses`` None is all of them; names as in the API."""

    market: Market | None
    statuses: Collection[str] | None
    limit: int
    cursor: str | None

    @property
    def wants_pending(self) -> bool:
        return self.cursor is None and (self.statuses is None or "pending" in self.statuses)

    def row_statuses(self) -> list[OrderStatus] | None:
        if self.statuses is None:
            return None
        return [STATUS_NAMES[name] for name in self.statuses if name in STATUS_NAMES]


class OrderQueries:
    """A user sees only their own orders: others' are as unknown as those that never were."""

    def __init__(
        self,
        *,
        orders: Orders,
        journal: Journal,
        markets: MarketRegistry,
        client_ids: ClientOrderIds,
    ) -> None:
        self._orders = orders
        self._journal = journal
        self._markets = markets
        self._client_ids = client_ids

    async def get(self, user: int, name: str) -> Order:
        """The order with this id or ``client:<client_order_id>``. Raises Problem
        ``unknown_order``, StoreUnavailable."""
        if name.startswith(CLIENT_PREFIX):
            own_id = client_id(name[len(CLIENT_PREFIX) :], "client_order_id")
            place = (await self._client_ids.resolve(user, (own_id,))).get(own_id)
        else:
            place = parse_order_id(name)
        market = self._markets.get(place[0]) if place else None
        if place is None or market is None:
            raise Problem(codes.UNKNOWN_ORDER)
        order = await self._find(user, market, place[1])
        if order is None:
            raise Problem(codes.UNKNOWN_ORDER)
        return order

    async def by_client_id(self, user: int, own_id: str, wanted: OrderFilter) -> OrdersPage:
        """The one order of this client order id, if it passes the filter."""
        try:
            order = await self.get(user, CLIENT_PREFIX + own_id)
        except Problem as problem:
            if problem.code is not codes.UNKNOWN_ORDER:
                raise
            return OrdersPage(orders=[], next_cursor=None)
        fits = (wanted.statuses is None or order.status in wanted.statuses) and (
            wanted.market is None or order.market == wanted.market.symbol
        )
        return OrdersPage(orders=[order] if fits else [], next_cursor=None)

    async def _find(self, user: int, market: Market, number: int) -> Order | None:
        row = await self._orders.get(market.market_id, number)
        if row is not None:
            return order_of(row, market) if row.user_id == user else None
        pending = await self._orders.pending(market.market_id, number)
        if pending is None:
            return None
        command, accepted_at = pending
        if not isinstance(command, NewOrder) or command.user != user:
            return None
        return pending_order(command, number, accepted_at, market)

    async def _pending(self, user: int, wanted: OrderFilter) -> list[Order]:
        markets = [wanted.market] if wanted.market else self._markets.all()
        found: list[Order] = []
        for market in markets:
            if wanted.market is None and market.head.accepted == market.head.applied:
                continue
            found += await self._pending_in(user, market)
        found.sort(key=lambda order: order.accepted_at, reverse=True)
        return found

    async def _pending_in(self, user: int, market: Market) -> list[Order]:
        head = await self._journal.head(market.market_id)
        first = max(head.applied + 1, head.accepted - PENDING_WINDOW + 1)
        if first > head.accepted:
            return []
        found = []
        for row in await self._journal.commands(
            market.market_id, first, head.accepted, limit_rows=PENDING_WINDOW
        ):
            for number, command in enumerate(unpack_commands(row.bodies), row.first):
                if number >= first and isinstance(command, NewOrder) and command.user == user:
                    found.append(pending_order(command, number, row.accepted_at, market))
        found.reverse()
        return found

    async def list(self, user: int, wanted: OrderFilter) -> OrdersPage:
        """One page, newest first. Raises Problem ``invalid_cursor``, StoreUnavailable."""
        before = decode_cursor(wanted.cursor) if wanted.cursor else None
        # Pending ones are read first: an order that is applied meanwhile is then seen twice,
        # never not at all.
        pending = await self._pending(user, wanted) if wanted.wants_pending else []
        statuses = wanted.row_statuses()
        rows = (
            await self._orders.list(
                user,
                market_id=wanted.market.market_id if wanted.market else None,
                status=statuses,
                before=before,
                limit=wanted.limit,
            )
            if statuses is None or statuses
            else []
        )
        orders = []
        for row in rows:
            market = self._markets.by_id(row.market_id)
            if market is not None:
                orders.append(order_of(row, market))
        applied = {order.id for order in orders}
        pending = [order for order in pending if order.id not in applied]
        last = rows[-1] if len(rows) == wanted.limit else None
        return OrdersPage(
            orders=pending[: wanted.limit] + orders,
            next_cursor=encode_cursor((last.market_id, last.number)) if last else None,
        )


def encode_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).rstrip(b"=").decode()


def decode_cursor(text: str) -> Place:
    """Raises Problem ``invalid_cursor``."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        place: Place = _cursor_decoder.decode(data)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise Problem(codes.INVALID_CURSOR, field="cursor") from None
    if not (0 <= place[0] < 1 << 31 and 0 <= place[1] < 1 << 63):
        raise Problem(codes.INVALID_CURSOR, field="cursor")
    return place
