from __future__ import annotations

import pytest

from gomatch.engine import (
    CancelAll,
    Command,
    Event,
    NewOrder,
    OrderType,
    SetState,
    Side,
    TradingState,
)
from gomatch.errors import CodecError
from gomatch.messages.callback import (
    MESSAGE_LIMIT,
    batch_messages,
    journal_messages,
    parse_request,
    part_events,
    read_levels,
    read_summary,
)
from gomatch.messages.v1 import callback_pb2 as pb
from tests.unit.feeds.scripted import ScriptedMarket


def reassemble(data: list[bytes]) -> tuple[list[Event], tuple[dict[int, int], dict[int, int]]]:
    events: list[Event] = []
    levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
    parts = [parse_request(one).batch for one in data]
    expected = parts[0].first_sequence
    for part in parts:
        assert part.first_sequence == expected
        expected = part.last_sequence + 1
        events += part_events(part)
        read_levels(part.levels, levels)
    assert [part.complete for part in parts] == [False] * (len(parts) - 1) + [True]
    return events, levels


def many_orders(count: int) -> list[Command]:
    return [
        NewOrder(7, Side.BUY, OrderType.LIMIT, 5, 1_000 + number, client_order_id=f"o-{number:09}")
        for number in range(count)
    ]


def test_an_ordinary_batch_is_one_message_with_the_journals_bytes() -> None:
    batch = ScriptedMarket().step(many_orders(100))
    (data,) = batch_messages(batch)
    part = parse_request(data).batch
    assert part.events == batch.packed
    assert part.applied == batch.applied
    assert read_summary(part.summary) == batch.summary
    assert reassemble([data]) == (list(batch.events), (dict(batch.bids), dict(batch.asks)))


def test_a_cancel_all_of_a_hundred_thousand_orders_travels_in_parts_under_the_limit() -> None:
    market = ScriptedMarket()
    placed = market.step(many_orders(100_000))
    cancelled = market.step([CancelAll(7)])
    for batch in (placed, cancelled):
        data = batch_messages(batch)
        assert len(data) > 1
        assert max(map(len, data)) < MESSAGE_LIMIT
        assert reassemble(data) == (list(batch.events), (dict(batch.bids), dict(batch.asks)))


def test_a_journal_row_that_is_too_large_is_split_from_its_bytes_alone() -> None:
    batch = ScriptedMarket().step(many_orders(60_000))
    data = journal_messages(
        epoch=batch.epoch,
        first_sequence=batch.first_sequence,
        last_sequence=batch.last_sequence,
        applied=batch.applied,
        time=batch.time,
        packed=batch.packed,
    )
    assert max(map(len, data)) < MESSAGE_LIMIT
    events, levels = reassemble(data)
    assert events == list(batch.events)
    assert levels == ({}, {})
    assert not parse_request(data[-1]).batch.HasField("summary")


def test_a_book_of_many_levels_is_an_image_in_parts_under_the_limit() -> None:
    market = ScriptedMarket()
    market.step(many_orders(100_000))
    requests = market.image()
    assert len(requests) > 1
    assert max(request.ByteSize() for request in requests) < MESSAGE_LIMIT
    levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for request in requests:
        read_levels(request.depth_image.levels, levels)
    assert levels == (dict(market.engine.depth(Side.BUY)), {})
    assert [request.depth_image.complete for request in requests][-1]


def test_the_indicative_pair_of_an_auction_arrives() -> None:
    market = ScriptedMarket()
    batch = market.step(
        [
            SetState(TradingState.AUCTION),
            NewOrder(1, Side.BUY, OrderType.LIMIT, 5, 100),
            NewOrder(2, Side.SELL, OrderType.LIMIT, 5, 100),
        ]
    )
    summary = read_summary(parse_request(batch_messages(batch)[0]).batch.summary)
    assert (summary.indicative_price, summary.indicative_volume) == (100, 5)


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"GET / HTTP/1.1\r\n\r\n"])
def test_bytes_that_are_no_message_are_told(data: bytes) -> None:
    with pytest.raises(CodecError):
        parse_request(data)


@pytest.mark.parametrize(
    "part",
    [
        pb.Batch(first_sequence=1, last_sequence=2, events=b"\x01\x90"),
        pb.Batch(first_sequence=1, last_sequence=1, events=b"\x07\x90"),
        pb.Batch(first_sequence=0, last_sequence=0),
        pb.Batch(first_sequence=1, last_sequence=1 << 40, events=b"\x01\x90"),
    ],
)
def test_a_part_that_does_not_hold_what_it_says_is_told(part: pb.Batch) -> None:
    with pytest.raises(CodecError):
        part_events(part)


@pytest.mark.parametrize("triples", [[1, 2], [3, 5, 5], [1, 0, 5], [2, 5, -1]])
def test_impossible_levels_are_told(triples: list[int]) -> None:
    with pytest.raises(CodecError):
        read_levels(triples, ({}, {}))


def test_an_unknown_trading_state_is_told() -> None:
    with pytest.raises(CodecError):
        read_summary(pb.Summary(state=99))
