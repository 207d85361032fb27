"""From the items of a request to commands in lots, one for each market; no I/O.

What is wrong with an item becomes that item's result and does not touch the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gomatch.engine import AmendOrder, CancelOrder, Command
from gomatch.messages.market import parse_order_id
from gomatch.messages.request_digest import request_digest
from gomatch.store.records import ClaimKey, ClaimKind
from gomatch_api import codes
from gomatch_api.accept_plan import Claim
from gomatch_api.client_ids import OrderPlace
from gomatch_api.markets import Market
from gomatch_api.problems import Problem
from gomatch_api.requests import AmendItem, AnyItem, CancelItem, NewOrderRequest
from gomatch_api.responses import ItemResult
from gomatch_api.transform import amend_order, client_id, is_client_id, limit_problem, new_order

# Looked up once: an enumeration's members cost more than a global in the hot path.
_ORDER = ClaimKind.ORDER
_REQUEST = ClaimKind.REQUEST


@dataclass(slots=True)
class Lot:
    """The commands of one request for one market, and the items that they come from."""

    market: Market
    commands: list[Command] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    items: list[int] = field(default_factory=list)
    request_ids: dict[int, str] = field(default_factory=dict)
    """Position -> the request id of a cancel or amend."""
    names: dict[int, str] = field(default_factory=dict)
    """Position -> the client order id by which a cancel or amend named its order."""


@dataclass(slots=True)
class Refused:
    """An item against which the market's limits or the clock speak; unless its client id shows
    that it was accepted before, ``problem`` is its result."""

    lot: Lot
    """Only with this item."""
    key: ClaimKey
    digest: bytes
    problem: Problem


class OrderBatch:
    """Collects the items of one request. ``results`` has None where a command was made of the
    item, in ``lots``; ``refused`` waits for a look at the client ids."""

    def __init__(self, user: int, count: int, lookup: Callable[[str], Market | None]) -> None:
        self._user = user
        self._lookup = lookup
        self.results: list[ItemResult | None] = [None] * count
        self.lots: dict[str, Lot] = {}
        self.refused: list[Refused] = []

    def add(
        self,
        items: Sequence[AnyItem | Problem],
        places: Mapping[str, OrderPlace] | Problem,
        now: int,
    ) -> None:
        """``places`` resolves the client order ids, or says why they cannot be resolved; ``now``
        is in microseconds."""
        user, lots, results = self._user, self.lots, self.results
        for index, item in enumerate(items):
            try:
                if isinstance(item, NewOrderRequest):
                    lot = lots.get(item.market) or self._lot(item.market)
                    command = new_order(item, lot.market, user)
                    problem = limit_problem(command, lot.market, now)
                    if command.client_order_id:
                        self._enter(index, lot, command, _ORDER, command.client_order_id, problem)
                    elif problem is None:
                        lot.items.append(index)
                        lot.commands.append(command)
                    else:
                        results[index] = problem_result(problem)
                elif isinstance(item, Problem):
                    results[index] = problem_result(item)
                else:
                    self._add_change(index, item, places, now)
            except Problem as problem:
                results[index] = problem_result(problem)

    def _add_change(
        self,
        index: int,
        item: CancelItem | AmendItem,
        places: Mapping[str, OrderPlace] | Problem,
        now: int,
    ) -> None:
        symbol, number = _target(item, places)
        lot = self._lot(symbol, of_order=True)
        command: CancelOrder | AmendOrder
        problem = None
        if isinstance(item, CancelItem):
            command = CancelOrder(self._user, number)
        else:
            command = amend_order(item, lot.market, self._user, number)
            problem = limit_problem(command, lot.market, now)
        if item.request_id is not None:
            own_id = client_id(item.request_id, "request_id")
            lot = self._enter(index, lot, command, _REQUEST, own_id, problem)
            lot.request_ids[len(lot.commands) - 1] = own_id
        elif problem is not None:
            raise problem
        else:
            lot.items.append(index)
            lot.commands.append(command)
        if item.client_order_id is not None:
            lot.names[len(lot.commands) - 1] = item.client_order_id

    def _enter(
        self,
        index: int,
        lot: Lot,
        command: Command,
        kind: ClaimKind,
        own_id: str,
        problem: Problem | None,
    ) -> Lot:
        """Returns the lot that holds the command: its own when ``problem`` speaks against it."""
        digest = request_digest(command, lot.market.symbol)
        if problem is not None:
            key = self._user, kind, own_id
            alone = Lot(lot.market, [command], [Claim(0, kind, own_id, digest)], [index])
            self.refused.append(Refused(alone, key, digest, problem))
            return alone
        lot.claims.append(Claim(len(lot.commands), kind, own_id, digest))
        lot.items.append(index)
        lot.commands.append(command)
        return lot

    def _lot(self, symbol: str, *, of_order: bool = False) -> Lot:
        lot = self.lots.get(symbol)
        if lot is None:
            market = self._lookup(symbol)
            if market is None:
                raise Problem(codes.UNKNOWN_ORDER if of_order else codes.UNKNOWN_MARKET)
            lot = self.lots[symbol] = Lot(market)
        return lot


def stages(items: Sequence[AnyItem | Problem]) -> list[range]:
    """Items that can be entered together. A cancel or amend by the client order id of an order
    that the same request places must wait until that order has its number."""
    begin = 0
    placed: set[str] = set()
    parts: list[range] = []
    for index, item in enumerate(items):
        own_id = getattr(item, "client_order_id", None)
        if own_id is None:
            continue
        if isinstance(item, NewOrderRequest):
            placed.add(own_id)
        elif own_id in placed:
            parts.append(range(begin, index))
            begin = index
            placed.clear()
    parts.append(range(begin, len(items)))
    return parts


def new_ids(items: Sequence[AnyItem | Problem]) -> list[str]:
    """The client order ids of the new orders among ``items``."""
    return [
        item.client_order_id
        for item in items
        if isinstance(item, NewOrderRequest) and item.client_order_id
    ]


def ids_to_resolve(items: Sequence[AnyItem | Problem]) -> list[str]:
    """The client order ids by which these items name orders, those that can be one."""
    return [
        item.client_order_id
        for item in items
        if isinstance(item, CancelItem | AmendItem)
        and item.client_order_id is not None
        and is_client_id(item.client_order_id)
    ]


def target_of(command: Command, number: int) -> int:
    """The number of the order that a command speaks of; ``number`` is the command's own."""
    if isinstance(command, CancelOrder | AmendOrder):
        return command.order
    return number


def problem_result(problem: Problem) -> ItemResult:
    return ItemResult(problem.status, None, None, problem.body())


def _target(item: CancelItem | AmendItem, places: Mapping[str, OrderPlace] | Problem) -> OrderPlace:
    if item.id is not None:
        if item.client_order_id is not None:
            raise Problem(
                codes.FIELD_NOT_ALLOWED,
                "Name the order by `id` or by `client_order_id`, not by both.",
                field="client_order_id",
            )
        place = parse_order_id(item.id)
        if place is None:
            raise Problem(codes.INVALID_ORDER_ID, field="id")
        return place
    if item.client_order_id is None:
        raise Problem(codes.MISSING_FIELD, "`id` or `client_order_id` is required.", field="id")
    own_id = client_id(item.client_order_id, "client_order_id")
    if isinstance(places, Problem):
        raise places.again()
    found = places.get(own_id)
    if found is None:
        raise Problem(codes.UNKNOWN_ORDER, field="client_order_id")
    return found
