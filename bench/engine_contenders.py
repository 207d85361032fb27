"""Runs one flow through one matching engine and says how long it took: one process for each
measurement, so that no heap, cache or collector state is shared.

    python -m bench.engine_contenders CONTENDER FLOW GC

FLOW is a file of two packed command lists. Prints one JSON object: CPU seconds, operations,
trades and lots.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from bench.engine_flows import FULL, PLAIN
from gomatch.engine import (
    CancelOrder,
    Command,
    Engine,
    Event,
    NewOrder,
    OrderType,
    Side,
    TimeInForce,
    Traded,
)
from gomatch.messages.codec import unpack_commands

PEERS = Path(__file__).parent / ".peers"
BATCH = 100
Result = tuple[float, int, int]
"""CPU seconds, trades and lots."""


def collector(mode: str) -> None:
    """``on``: as Python starts; ``frozen``: what exists is frozen and the collector is off."""
    gc.collect()
    if mode == "frozen":
        gc.freeze()
        gc.disable()


def gomatch(before: list[Command], commands: list[Command], mode: str) -> Result:
    """All events; the changes are drained after each batch of 100. Nothing that the peers do not
    have is in use: no band, no fees, no limits, no stops (orders that never rest instead)."""
    idle: list[Command] = [
        replace(one, type=OrderType.MARKET, stop_price=0, time_in_force=TimeInForce.IOC)
        if isinstance(one, NewOrder) and one.stop_price
        else one
        for one in before
    ]
    return _gomatch(Engine(PLAIN), idle, commands, mode)


def gomatch_in_full(before: list[Command], commands: list[Command], mode: str) -> Result:
    """The same code with 1,000 waiting stops, price band, fees, least notional and limits."""
    return _gomatch(Engine(FULL), before, commands, mode)


def _gomatch(engine: Engine, before: list[Command], commands: list[Command], mode: str) -> Result:
    engine.apply_batch(1, before, [])
    engine.drain()
    batches = [commands[n : n + BATCH] for n in range(0, len(commands), BATCH)]
    collector(mode)
    trades = lots = 0
    seconds = 0.0
    number = len(before) + 1
    for batch in batches:
        events: list[Event] = []
        start = time.process_time()
        engine.apply_batch(number, batch, events)
        engine.drain()
        seconds += time.process_time() - start
        number += len(batch)
        for event in events:
            if type(event) is Traded:
                trades += 1
                lots += event.quantity
    return seconds, trades, lots


def matching_engine(before: list[Command], commands: list[Command], mode: str) -> Result:
    """As its own benchmark drives it: ``process`` for each sequenced command."""
    from matching_engine import domain
    from matching_engine.engine import MatchingEngine
    from matching_engine.events import Trade

    def convert(number: int, command: Command) -> Any:
        if isinstance(command, NewOrder):
            side = domain.Side.BUY if command.side is Side.BUY else domain.Side.SELL
            own: Any = domain.NewOrder(
                number,
                command.user,
                side,
                command.price,
                command.quantity,
                stp=domain.SelfTradePrevention.NONE,
            )
        else:
            assert isinstance(command, CancelOrder)
            own = domain.CancelOrder(command.order, command.user)
        return domain.SequencedCommand(number, number, own)

    engine = MatchingEngine()
    for number, command in enumerate(before, 1):
        if isinstance(command, NewOrder) and not command.stop_price:
            engine.process(convert(number, command))
    own = [convert(number, command) for number, command in enumerate(commands, len(before) + 1)]
    batches = [own[n : n + BATCH] for n in range(0, len(own), BATCH)]
    collector(mode)
    trades = lots = 0
    seconds = 0.0
    for batch in batches:
        events: list[Any] = []
        start = time.process_time()
        for sequenced in batch:
            events += engine.process(sequenced)
        seconds += time.process_time() - start
        for event in events:
            if type(event) is Trade:
                trades += 1
                lots += event.qty
    return seconds, trades, lots


def pyorderbook(before: list[Command], commands: list[Command], mode: str) -> Result:
    """``match`` and ``cancel``; its orders are made beforehand."""
    from pyorderbook import Book, Order
    from pyorderbook import Side as Theirs

    made: dict[int, Any] = {}

    def convert(number: int, command: Command) -> tuple[bool, Any]:
        if isinstance(command, NewOrder):
            side = Theirs.BID if command.side is Side.BUY else Theirs.ASK
            order = made[number] = Order(side, "M", 1.0, command.quantity)
            order.price = Decimal(command.price)
            return True, order
        assert isinstance(command, CancelOrder)
        return False, made[command.order]

    book = Book()
    for number, command in enumerate(before, 1):
        if isinstance(command, NewOrder) and not command.stop_price:
            book.match(convert(number, command)[1])
    own = [convert(number, command) for number, command in enumerate(commands, len(before) + 1)]
    batches = [own[n : n + BATCH] for n in range(0, len(own), BATCH)]
    collector(mode)
    trades = lots = 0
    seconds = 0.0
    for batch in batches:
        blotters = []
        start = time.process_time()
        for new, order in batch:
            if new:
                blotters.append(book.match(order))
            else:
                book.cancel(order)
        seconds += time.process_time() - start
        for blotter in blotters:
            trades += len(blotter.trades)
            lots += sum(trade.fill_quantity for trade in blotter.trades)
    return seconds, trades, lots


CONTENDERS: dict[str, Callable[[list[Command], list[Command], str], Result]] = {
    "gomatch": gomatch,
    "gomatch, everything in use": gomatch_in_full,
    "matching-engine": matching_engine,
    "pyorderbook": pyorderbook,
}


def main() -> None:
    name, path, mode = sys.argv[1:]
    sys.path.insert(0, str(PEERS))
    packed = msgspec.msgpack.decode(Path(path).read_bytes(), type=list[bytes])
    before, commands = (unpack_commands(part) for part in packed)
    seconds, trades, lots = CONTENDERS[name](before, commands, mode)
    result = {"seconds": seconds, "operations": len(commands), "trades": trades, "lots": lots}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
