import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomatch.engine import (
    Accepted,
    CancelAll,
    CancelOrder,
    Command,
    Configure,
    Event,
    MarketConfig,
    NewOrder,
    OrderType,
    Reason,
    Rejected,
    SetState,
    Side,
    TradingState,
)
from gomatch.errors import CodecError
from gomatch.messages.codec import (
    GENESIS_CHAIN,
    next_chain,
    pack_commands,
    pack_events,
    unpack_commands,
    unpack_events,
)
from gomatch.messages.envelope import CommandBatch

ORDER = NewOrder(7, Side.BUY, OrderType.LIMIT, 5, 100, client_order_id="mine")
COMMANDS: list[Command] = [
    ORDER,
    CancelOrder(7, 1),
    CancelAll(7, Reason.DISCONNECT),
    SetState(TradingState.AUCTION),
    Configure(MarketConfig()),
]


def test_commands_and_events_survive_the_wire() -> None:
    events: list[Event] = [Accepted(1, ORDER), Rejected(2, 1, 7, Reason.UNKNOWN_ORDER)]
    assert unpack_commands(pack_commands(COMMANDS)) == COMMANDS
    assert unpack_events(pack_events(events)) == events


@given(st.binary(max_size=200))
def test_garbage_is_a_codec_error_and_nothing_else(data: bytes) -> None:
    for unpack in (unpack_commands, unpack_events):
        try:
            assert isinstance(unpack(b"\x01" + data), list)
        except CodecError:
            continue


@pytest.mark.parametrize("data", [b"", b"\x02\x90", b"\x00", b"\x01" + b"\x91" * 5000])
def test_another_version_or_depth_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        unpack_commands(data)


def test_a_batch_with_other_numbers_than_commands_is_refused() -> None:
    bodies = pack_commands(COMMANDS)
    good = CommandBatch(market="A-B", first=1, last=5, accepted_at=0, bodies=bodies)
    assert len(good.commands()) == 5
    with pytest.raises(CodecError):
        CommandBatch(market="A-B", first=1, last=4, accepted_at=0, bodies=bodies).commands()


def test_the_chain_changes_with_every_part_of_a_row() -> None:
    row = {
        "first_number": 1,
        "last_number": 2,
        "first_sequence": 1,
        "last_sequence": 4,
        "epoch": 1,
        "rules_version": 1,
        "time": 5,
    }
    chain = next_chain(GENESIS_CHAIN, **row, events=b"x")
    assert len(chain) == len(GENESIS_CHAIN)
    others = [next_chain(GENESIS_CHAIN, **{**row, name: 9}, events=b"x") for name in row]
    others += [next_chain(chain, **row, events=b"x"), next_chain(GENESIS_CHAIN, **row, events=b"y")]
    assert len({chain, *others}) == len(others) + 1
