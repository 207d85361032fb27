"""The rules of matching once more, in the plainest way: lists that are sorted whenever asked.

Written from docs/matching-rules.md, without the engine's data structures or control flow; slow, and
short enough to be checked by reading. It decides nothing about what a field may hold on its own:
that (`order_fault`, configurations) is tested by tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import msgspec

from gomatch.engine import (
    Accepted,
    AllCancelled,
    Amended,
    AmendOrder,
    BandMode,
    CancelAll,
    Cancelled,
    CancelOrder,
    Command,
    Configure,
    Configured,
    Event,
    Expired,
    MarketConfig,
    NewOrder,
    OrderType,
    Reason,
    Rejected,
    Rested,
    SelfTrade,
    SetState,
    Side,
    StateChanged,
    TimeInForce,
    Traded,
    TradingState,
    Triggered,
    Uncrossed,
)
from gomatch.engine.entry import configuration_fault, order_fault

RUNNING, AUCTION = TradingState.RUNNING, TradingState.AUCTION
NO_ENTRY = {
    TradingState.CANCEL_ONLY: Reason.MARKET_CANCEL_ONLY,
    TradingState.HALTED: Reason.MARKET_HALTED,
    TradingState.CLOSED: Reason.MARKET_CLOSED,
}


@dataclass
class Ref:
    """An open order. ``priority`` 0: it does not stand in the book."""

    number: int
    terms: NewOrder
    remaining: int
    shown: int = 0
    priority: int = 0
    waiting: bool = False

    @property
    def side(self) -> Side:
        return self.terms.side

    @property
    def price(self) -> int:
        return self.terms.price


@dataclass
class ReferenceBook:
    config: MarketConfig = field(default_factory=MarketConfig)
    state: TradingState = RUNNING
    time: int = 0
    last: int = 0
    next_priority: int = 1
    open: list[Ref] = field(default_factory=list)
    out: list[Event] = field(default_factory=list)
    number: int = 0
    band: tuple[int, int] | None = None

    # Looking

    def book(self, side: Side) -> list[Ref]:
        """What stands on a side: price, then time."""
        standing = [one for one in self.open if one.side is side and one.priority]
        sign = -1 if side is Side.BUY else 1
        return sorted(standing, key=lambda one: (sign * one.price, one.priority))

    def opposite(self, terms: NewOrder) -> list[Ref]:
        return self.book(Side.SELL if terms.side is Side.BUY else Side.BUY)

    def find(self, number: int) -> Ref | None:
        return next((one for one in self.open if one.number == number), None)

    def within_limit(self, terms: NewOrder, price: int) -> bool:
        if not terms.price:
            return True
        return price <= terms.price if terms.side is Side.BUY else price >= terms.price

    def within_band(self, price: int) -> bool:
        return self.band is None or self.band[0] <= price <= self.band[1]

    def reference(self) -> int:
        return self.last or self.config.reference_price

    # Commands

    def advance(self, time: int) -> None:
        if time <= self.time:
            return
        self.time = time
        due = [one for one in self.open if one.terms.expiry and one.terms.expiry <= time]
        for one in sorted(due, key=lambda each: (each.terms.expiry, each.number)):
            self.out.append(Expired(one.number, one.terms.user, one.remaining))
            self.open.remove(one)

    def apply(self, number: int, command: Command) -> None:
        self.number = number
        reference = self.reference()
        self.band = None
        if self.config.band_mode is not BandMode.NONE and reference:
            width = int(Fraction(reference * self.config.band, 10**9))
            self.band = (reference - width, reference + width)
        if isinstance(command, NewOrder):
            self.enter(command)
        elif isinstance(command, CancelOrder):
            self.cancel(command)
        elif isinstance(command, AmendOrder):
            self.amend(command)
        elif isinstance(command, CancelAll):
            self.cancel_all(command)
        elif isinstance(command, SetState):
            self.set_state(command)
        elif isinstance(command, Configure):
            self.configure(command)
        self.look_at_stops()

    def enter(self, terms: NewOrder) -> None:
        refusal = self.refusal(terms)
        if refusal:
            self.out.append(Rejected(self.number, self.number, terms.user, refusal))
            return
        self.out.append(Accepted(self.number, terms))
        order = Ref(self.number, terms, terms.quantity)
        self.open.append(order)
        if terms.type in (OrderType.STOP, OrderType.STOP_LIMIT):
            order.waiting = True
        elif self.state is RUNNING:
            self.run(order)
        else:
            self.rest(order)

    def refusal(self, terms: NewOrder) -> Reason | None:
        if self.state in NO_ENTRY:
            return NO_ENTRY[self.state]
        fault = order_fault(terms, self.config, self.time)
        if fault:
            return fault
        waits = terms.type in (OrderType.STOP, OrderType.STOP_LIMIT)
        now_or_never = terms.type is OrderType.MARKET or terms.time_in_force in (
            TimeInForce.IOC,
            TimeInForce.FOK,
        )
        if self.state is AUCTION and not waits and (now_or_never or terms.post_only):
            return Reason.NOT_IN_AUCTION
        most = self.config.max_open_orders
        mine = sum(one.terms.user == terms.user for one in self.open)
        if most and (waits or not now_or_never) and mine >= most:
            return Reason.TOO_MANY_OPEN_ORDERS
        if waits:
            return None
        if self.state is AUCTION:
            return None if self.price_allowed(terms) else Reason.PRICE_BAND
        return self.obstacle(terms, terms.quantity)

    def price_allowed(self, terms: NewOrder) -> bool:
        refuses = self.config.band_mode is BandMode.REFUSE
        return not (refuses and terms.price and not self.within_band(terms.price))

    def obstacle(self, terms: NewOrder, quantity: int) -> Reason | None:
        """Why an order that comes in now cannot even begin."""
        if not self.price_allowed(terms):
            return Reason.PRICE_BAND
        against = self.opposite(terms)
        if terms.post_only:
            crosses = any(self.within_limit(terms, one.price) for one in against)
            return Reason.WOULD_CROSS if crosses else None
        if not terms.price and not against:
            return Reason.NO_LIQUIDITY
        if terms.time_in_force is TimeInForce.FOK and not self.fillable(terms, quantity):
            return Reason.UNFILLABLE
        return None

    def mode(self, terms: NewOrder) -> SelfTrade:
        return terms.self_trade or self.config.self_trade

    def fillable(self, terms: NewOrder, quantity: int) -> bool:
        mode = self.mode(terms)
        left = quantity
        prices = sorted({one.price for one in self.opposite(terms)})
        for price in prices if terms.side is Side.BUY else reversed(prices):
            if not self.within_limit(terms, price) or not self.within_band(price):
                break
            level = [one for one in self.opposite(terms) if one.price == price]
            # Slices come round again until the level is used up, so who stands where matters
            # only for one's own orders met on the way.
            queue = [[one, one.shown, one.remaining] for one in level]
            while queue:
                one, shown, remaining = queue.pop(0)
                assert isinstance(one, Ref)
                assert isinstance(shown, int)
                assert isinstance(remaining, int)
                if one.terms.user == terms.user and mode is not SelfTrade.NONE:
                    if mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH):
                        return False
                    if mode is SelfTrade.DECREMENT:
                        return False
                    continue
                left -= min(shown, left)
                if not left:
                    return True
                if remaining > shown:
                    queue.append(
                        [one, min(one.terms.display, remaining - shown), remaining - shown]
                    )
        return False

    def run(self, order: Ref) -> None:
        stopped = self.match(order)
        if order not in self.open:
            return
        terms = order.terms
        if stopped:
            self.end(order, Reason.PRICE_BAND)
            if self.config.band_mode is BandMode.HALT:
                self.state = TradingState.HALTED
                self.out.append(StateChanged(self.number, self.state, Reason.PRICE_BAND))
        elif not terms.price:
            self.end(order, Reason.MARKET_REST)
        elif terms.time_in_force is TimeInForce.IOC:
            self.end(order, Reason.IMMEDIATE_OR_CANCEL)
        else:
            self.rest(order)

    def match(self, order: Ref) -> bool:
        """Whether the band stopped it."""
        while order.remaining and order in self.open:
            against = [
                one for one in self.opposite(order.terms)
                if self.within_limit(order.terms, one.price)
            ]  # fmt: skip
            if not against:
                return False
            best = against[0]
            if not self.within_band(best.price):
                return True
            mode = self.mode(order.terms)
            if best.terms.user == order.terms.user and mode is not SelfTrade.NONE:
                self.prevent(order, best, mode)
                continue
            quantity = min(order.remaining, best.shown)
            self.trade(best, order, best.price, quantity)
        return False

    def trade(self, maker: Ref, taker: Ref, price: int, quantity: int) -> None:
        for one in (maker, taker):
            one.remaining -= quantity
            if one.priority:
                one.shown -= quantity
        self.last = price
        fees = [
            ceil(Fraction(price * quantity * rate, 10**9))
            for rate in (self.config.maker_fee, self.config.taker_fee)
        ]
        self.out.append(
            Traded(
                maker.number, maker.terms.user, taker.number, taker.terms.user, taker.side,
                price, quantity, maker.remaining, taker.remaining, fees[0], fees[1],
            )
        )  # fmt: skip

        def after(one: Ref) -> None:
            if not one.remaining:
                self.open.remove(one)
            elif one.priority and not one.shown:
                self.show(one)

        # In an uncross both stand in the book; the bid's next slice comes first.
        both = sorted((maker, taker), key=lambda one: one.side)
        for one in both:
            after(one)

    def prevent(self, order: Ref, best: Ref, mode: SelfTrade) -> None:
        if mode is SelfTrade.DECREMENT:
            quantity = min(order.remaining, best.remaining)
            for one in (best, order):
                one.remaining -= quantity
                self.out.append(
                    Cancelled(
                        self.number, one.number, one.terms.user, quantity, one.remaining,
                        Reason.SELF_TRADE,
                    )
                )  # fmt: skip
                one.shown = min(one.shown, one.remaining)
                if not one.remaining:
                    self.open.remove(one)
            return
        if mode in (SelfTrade.CANCEL_OLDEST, SelfTrade.CANCEL_BOTH):
            self.end(best, Reason.SELF_TRADE)
        if mode in (SelfTrade.CANCEL_NEWEST, SelfTrade.CANCEL_BOTH):
            self.end(order, Reason.SELF_TRADE)

    def rest(self, order: Ref) -> None:
        self.show(order)

    def show(self, order: Ref) -> None:
        """Stand at the level's end with a new priority, showing one slice."""
        slice_ = order.terms.display or order.remaining
        order.shown = min(slice_, order.remaining)
        order.priority = self.next_priority
        self.next_priority += 1
        self.out.append(
            Rested(
                order.number, order.terms.user, order.side, order.price, order.shown,
                order.remaining, order.priority,
            )
        )  # fmt: skip

    def end(self, order: Ref, reason: Reason) -> None:
        self.out.append(
            Cancelled(self.number, order.number, order.terms.user, order.remaining, 0, reason)
        )
        self.open.remove(order)

    def look_at_stops(self) -> None:
        if self.state is not RUNNING or not self.last:
            return
        queue = self.reached()
        while queue:
            order = queue.pop(0)
            if self.state is not RUNNING:
                order.waiting = True
                continue
            self.out.append(Triggered(order.number, order.terms.user))
            reason = self.obstacle(order.terms, order.remaining)
            if reason:
                self.end(order, reason)
                continue
            self.run(order)
            queue += self.reached()

    def reached(self) -> list[Ref]:
        """Stops that the last trade reached and that are in no queue yet; now they are."""
        buys = [
            one for one in self.open
            if one.waiting and one.side is Side.BUY and self.last >= one.terms.stop_price
        ]  # fmt: skip
        sells = [
            one for one in self.open
            if one.waiting and one.side is Side.SELL and self.last <= one.terms.stop_price
        ]  # fmt: skip
        found = sorted(buys, key=lambda one: (one.terms.stop_price, one.number))
        found += sorted(sells, key=lambda one: (-one.terms.stop_price, one.number))
        for one in found:
            one.waiting = False
        return found

    def cancel(self, command: CancelOrder) -> None:
        order = self.find(command.order)
        if self.state is TradingState.CLOSED:
            reason = Reason.MARKET_CLOSED
        elif order is None or command.user not in (0, order.terms.user):
            reason = Reason.UNKNOWN_ORDER
        else:
            self.end(order, Reason.USER if command.user else Reason.ADMIN)
            return
        self.out.append(Rejected(self.number, command.order, command.user, reason))

    def cancel_all(self, command: CancelAll) -> None:
        if self.state is TradingState.CLOSED:
            self.out.append(Rejected(self.number, 0, command.user, Reason.MARKET_CLOSED))
            return
        reason = command.reason
        if not command.user and reason is Reason.USER:
            reason = Reason.ADMIN
        mine = [one for one in self.open if command.user in (0, one.terms.user)]
        for one in sorted(mine, key=lambda each: each.number):
            self.end(one, reason)
        self.out.append(AllCancelled(self.number, command.user, len(mine)))

    def configure(self, command: Configure) -> None:
        if configuration_fault(command.config):
            self.out.append(Rejected(self.number, 0, 0, Reason.INVALID_CONFIGURATION))
            return
        self.config = command.config
        self.out.append(Configured(self.number, command.config))

    # Amend

    def amend(self, command: AmendOrder) -> None:
        outcome = self.judge(command)
        if isinstance(outcome, Reason):
            self.out.append(Rejected(self.number, command.order, command.user, outcome))
            return
        order, terms, remaining, keeps = outcome
        order.terms, order.remaining = terms, remaining
        if keeps:
            order.shown = min(order.shown, remaining)
        elif not order.waiting:
            order.priority = order.shown = 0
        self.out.append(
            Amended(
                self.number, order.number, terms.user, terms.quantity, remaining, terms.price,
                terms.display, terms.stop_price, terms.expiry, keeps,
            )
        )  # fmt: skip
        if keeps or order.waiting:
            return
        if self.state is RUNNING:
            self.run(order)
        else:
            self.rest(order)

    def judge(self, command: AmendOrder) -> Reason | tuple[Ref, NewOrder, int, bool]:
        cancel_only = self.state is TradingState.CANCEL_ONLY
        if self.state in NO_ENTRY and not cancel_only:
            return NO_ENTRY[self.state]
        order = self.find(command.order)
        if order is None or order.terms.user != command.user:
            return Reason.UNKNOWN_ORDER
        before = order.terms
        given = {
            name: value
            for name in ("quantity", "price", "display", "stop_price", "expiry")
            if (value := getattr(command, name))
        }
        terms = msgspec.structs.replace(before, **given)
        changed = {name for name in given if getattr(terms, name) != getattr(before, name)}
        if not changed:
            return Reason.NOTHING_TO_AMEND
        remaining = order.remaining + terms.quantity - before.quantity
        fault = self.amend_fault(order, terms, changed, remaining)
        if fault:
            return fault
        keeps = changed == {"quantity"} and terms.quantity < before.quantity
        if keeps:
            return order, terms, remaining, True
        if cancel_only:
            return Reason.MARKET_CANCEL_ONLY
        if order.waiting:
            return order, terms, remaining, False
        if self.state is AUCTION and terms.post_only:
            return Reason.NOT_IN_AUCTION
        if "price" in changed and not self.price_allowed(terms):
            return Reason.PRICE_BAND
        if terms.post_only and any(
            self.within_limit(terms, one.price) for one in self.opposite(terms)
        ):
            return Reason.WOULD_CROSS
        return order, terms, remaining, False

    def amend_fault(
        self, order: Ref, terms: NewOrder, changed: set[str], remaining: int
    ) -> Reason | None:
        config = self.config
        if "quantity" in changed:
            if terms.quantity < 0:
                return Reason.INVALID_QUANTITY
            if terms.quantity < config.min_quantity:
                return Reason.QUANTITY_TOO_SMALL
            if terms.quantity > config.max_quantity:
                return Reason.QUANTITY_TOO_LARGE
            if remaining <= 0:
                return Reason.QUANTITY_FILLED
        if "price" in changed:
            if terms.type is OrderType.STOP or terms.price < 0:
                return Reason.INVALID_PRICE
            if terms.price > config.max_price:
                return Reason.PRICE_TOO_HIGH
        if "stop_price" in changed and not (
            order.waiting and 0 < terms.stop_price <= config.max_price
        ):
            return Reason.INVALID_STOP_PRICE
        grows = terms.quantity > order.terms.quantity
        if ("display" in changed or grows) and terms.display:
            immediate = terms.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)
            fits = 0 < terms.display <= terms.quantity <= 100 * terms.display
            if immediate or terms.type is OrderType.STOP or not fits:
                return Reason.INVALID_DISPLAY
        if "expiry" in changed:
            if terms.time_in_force is not TimeInForce.GTD or terms.expiry < 0:
                return Reason.INVALID_EXPIRY
            if terms.expiry <= self.time:
                return Reason.EXPIRED
        sized = {"quantity", "price"} & changed
        if sized and terms.price and terms.price * terms.quantity < config.min_notional:
            return Reason.NOTIONAL_TOO_SMALL
        return None

    # States

    def set_state(self, command: SetState) -> None:
        if command.state is RUNNING:
            bids, asks = self.book(Side.BUY), self.book(Side.SELL)
            if self.state is AUCTION:
                self.uncross()
            elif bids and asks and bids[0].price >= asks[0].price:
                self.out.append(Rejected(self.number, 0, 0, Reason.BOOK_CROSSED))
                return
        self.state = command.state
        self.out.append(StateChanged(self.number, command.state, command.reason))

    def indicative(self) -> tuple[int, int] | None:
        """Every tick between the best prices: largest volume, then least surplus; the highest of
        those if all have buyers left over, the lowest if all sellers, else nearest to the
        reference, then lower."""
        bids, asks = self.book(Side.BUY), self.book(Side.SELL)
        if not bids or not asks or bids[0].price < asks[0].price:
            return None
        candidates = []
        for price in range(asks[0].price, bids[0].price + 1):
            bought = sum(one.remaining for one in bids if one.price >= price)
            sold = sum(one.remaining for one in asks if one.price <= price)
            candidates.append((min(bought, sold), bought - sold, price))
        most = max(volume for volume, _, _ in candidates)
        best = [entry for entry in candidates if entry[0] == most]
        least = min(abs(surplus) for _, surplus, _ in best)
        best = [entry for entry in best if abs(entry[1]) == least]
        if all(surplus > 0 for _, surplus, _ in best):
            return best[-1][2], most
        if all(surplus < 0 for _, surplus, _ in best):
            return best[0][2], most
        reference = self.reference()
        return min((abs(price - reference), price) for _, _, price in best)[1], most

    def uncross(self) -> None:
        price, volume = self.indicative() or (0, 0)
        left = volume
        while left:
            bid, ask = self.book(Side.BUY)[0], self.book(Side.SELL)[0]
            quantity = min(bid.shown, ask.shown)
            left -= quantity
            maker, taker = sorted((bid, ask), key=lambda one: one.number)
            self.trade(maker, taker, price, quantity)
        self.out.append(Uncrossed(self.number, price, volume))
