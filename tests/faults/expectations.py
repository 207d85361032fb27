"""What one client was told, against what PostgreSQL holds: its acknowledgements and its events."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from gomatch.engine import (
    Accepted,
    AllCancelled,
    Amended,
    AmendOrder,
    CancelAll,
    Cancelled,
    CancelOrder,
    Command,
    Configure,
    Configured,
    Event,
    NewOrder,
    OrderType,
    Rejected,
    SelfTrade,
    SetState,
    Side,
    StateChanged,
    TimeInForce,
)
from gomatch.messages.market import MarketDefinition, parse_order_id
from gomatch_api.feeds.private import private_events
from gomatch_api.feeds.texts import MarketTexts
from gomatch_api.times import format_time
from tests.fixtures.recorder import RecordingClient, identifier
from tests.fixtures.stored import Stored

_RESULTS: dict[type[Command], type[Event]] = {
    NewOrder: Accepted,
    CancelOrder: Cancelled,
    AmendOrder: Amended,
    CancelAll: AllCancelled,
    SetState: StateChanged,
    Configure: Configured,
}


def results_of_commands(stored: Stored) -> dict[int, int]:
    """Number -> sequence of the one event that tells a command's outcome. Every command has been
    applied once, and in the order of the numbers."""
    results: dict[int, int] = {}
    last = 0
    for sequence, event in sorted(stored.events.items()):
        number = getattr(event, "number", None)
        if number is None:
            continue
        assert number >= last, f"{event} at {sequence} comes after command {last}"
        last = number
        if _tells_outcome(event, stored.commands[number]):
            assert number not in results, f"command {number} was applied twice: {event}"
            results[number] = sequence
    assert sorted(results) == list(range(1, stored.head.accepted + 1))
    return results


def _tells_outcome(event: Event, command: Command) -> bool:
    if isinstance(command, CancelOrder) and isinstance(event, Cancelled):
        return event.order == command.order
    return isinstance(event, Rejected | _RESULTS[type(command)])


def check_acknowledgements(
    client: RecordingClient, stored: Stored, results: dict[int, int]
) -> None:
    """Each is stored as it was asked for, once, and what was asked first came first (I9)."""
    assert set(client.acknowledged) == set(client.sent)
    user = stored.users[client.name]
    numbers: dict[str, int] = {}
    for name, answer in client.acknowledged.items():
        item = client.sent[name]
        number = answer["command"]
        assert (answer["market"], answer["status"]) == (client.market, "accepted")
        assert answer["accepted_at"] == format_time(stored.accepted_at[number])
        if item["action"] == "cancel_all":
            expected: Command = CancelAll(user)
        else:
            target = _target(item, answer, client, numbers)
            assert target == (number if item["action"] == "new" else _stored_target(stored, number))
            assert answer["client_order_id"] == item.get("client_order_id")
            assert answer["request_id"] == item.get("request_id")
            expected = _command_of(item, user, target, stored.definition)
        assert stored.commands[number] == expected
        numbers[name] = number
    in_order = list(numbers.values())
    assert in_order == sorted(set(in_order)), "a later acknowledgement has an earlier place"
    told = [results[number] for number in in_order]
    assert told == sorted(told)
    _check_entered_once(client, stored, user)


def _stored_target(stored: Stored, number: int) -> int:
    command = stored.commands[number]
    assert isinstance(command, CancelOrder | AmendOrder)
    return command.order


def _target(
    item: dict[str, Any], answer: dict[str, Any], client: RecordingClient, numbers: dict[str, int]
) -> int:
    """The number of the order that an item is about, which the answer names as well."""
    parsed = parse_order_id(answer["id"])
    assert parsed is not None
    assert parsed[0] == client.market
    if item["action"] != "new":
        if "id" in item:
            assert answer["id"] == item["id"]
        else:
            assert parsed[1] == numbers[item["client_order_id"]]
    return parsed[1]


def _check_entered_once(client: RecordingClient, stored: Stored, user: int) -> None:
    """Asking again has entered nothing twice, and nothing is there that was not asked for."""
    of_user = [
        (number, command)
        for number, command in stored.commands.items()
        if getattr(command, "user", 0) == user and not isinstance(command, CancelAll)
    ]
    named = {
        answer["command"]
        for name, answer in client.acknowledged.items()
        if client.sent[name]["action"] != "cancel_all"
    }
    others = [command for number, command in of_user if number not in named]
    assert not [
        command
        for command in others
        if not isinstance(command, NewOrder) or command.client_order_id
    ], "entered twice"


def _command_of(
    item: dict[str, Any], user: int, target: int, definition: MarketDefinition
) -> Command:
    """The command that an item asks for."""

    def ticks(name: str) -> int:
        return int(Decimal(item.get(name, "0")) / Decimal(definition.tick_size))

    def lots(name: str) -> int:
        return int(Decimal(item.get(name, "0")) / Decimal(definition.lot_size))

    if item["action"] == "cancel":
        return CancelOrder(user, target)
    if item["action"] == "amend":
        return AmendOrder(user, target, lots("quantity"), ticks("price"))
    usual = "ioc" if item["type"] == "market" else "gtc"
    return NewOrder(
        user,
        Side[item["side"].upper()],
        OrderType[item["type"].upper()],
        lots("quantity"),
        ticks("price"),
        TimeInForce[item.get("time_in_force", usual).upper()],
        stop_price=ticks("stop_price"),
        display=lots("display_quantity"),
        self_trade=SelfTrade[item["self_trade_prevention"].upper()],
        post_only=item.get("post_only", False),
        client_order_id=identifier(item),
    )


def check_events(client: RecordingClient, stored: Stored) -> None:
    """The client saw each of its events, with every field as the journal has it, and no other."""
    user, texts = stored.users[client.name], MarketTexts(stored.definition)
    expected: dict[tuple[int, str], dict[str, Any]] = {}
    for first, time, events in stored.batches:
        found = private_events(events, first_sequence=first, time=time, users={user}, texts=texts)
        for event in found.get(user, ()):
            fields = msgspec.to_builtins(event)
            expected[fields["sequence"], fields.get("role", "")] = {**fields, "prev": 0}
    seen = {key: {**event, "prev": 0} for key, event in client.events.items()}
    assert seen.keys() == expected.keys(), "events were missed or invented"
    assert seen == expected
