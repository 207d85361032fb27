"""Random but valid-looking command flows for the matcher's tests."""

from __future__ import annotations

import random

from gomatch.engine import (
    AmendOrder,
    CancelAll,
    CancelOrder,
    Command,
    NewOrder,
    OrderType,
    SelfTrade,
    SetState,
    Side,
    TimeInForce,
    TradingState,
)


def random_commands(seed: int, count: int) -> list[Command]:
    """Orders of three users around price 100, with cancels, amends, stops, icebergs, auctions."""
    draw = random.Random(seed)
    commands: list[Command] = []
    for number in range(1, count + 1):
        user = draw.randint(1, 3)
        match draw.choices(range(7), weights=[60, 12, 8, 8, 8, 2, 2])[0]:
            case 1:
                commands.append(CancelOrder(user, draw.randint(1, number)))
            case 2:
                commands.append(
                    AmendOrder(
                        user, draw.randint(1, number), draw.randint(0, 9), draw.choice([0, 99, 101])
                    )
                )
            case 3:
                commands.append(
                    NewOrder(
                        user,
                        draw.choice(list(Side)),
                        OrderType.LIMIT,
                        9,
                        draw.randint(97, 103),
                        display=2,
                    )
                )
            case 4:
                commands.append(
                    NewOrder(
                        user,
                        draw.choice(list(Side)),
                        OrderType.STOP,
                        3,
                        stop_price=draw.randint(96, 104),
                    )
                )
            case 5:
                commands.append(CancelAll(user))
            case 6:
                commands.append(
                    SetState(
                        draw.choice(
                            [TradingState.AUCTION, TradingState.RUNNING, TradingState.RUNNING]
                        )
                    )
                )
            case _:
                gtd = draw.random() < 0.2
                commands.append(
                    NewOrder(
                        user,
                        draw.choice(list(Side)),
                        OrderType.LIMIT,
                        draw.randint(1, 9),
                        draw.randint(97, 103),
                        TimeInForce.GTD if gtd else draw.choice([TimeInForce.GTC, TimeInForce.IOC]),
                        expiry=number * 10 + draw.randint(1, 500) if gtd else 0,
                        self_trade=draw.choice(list(SelfTrade)),
                        client_order_id=f"c{number}",
                    )
                )
    return commands
