"""Applied batches and depth images to protobuf and back, in messages under 1 MB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import DecodeError

from gomatch.engine import Event, Side, TradingState
from gomatch.errors import CodecError
from gomatch.messages.applied import AppliedBatch, Summary
from gomatch.messages.codec import pack_events, unpack_events
from gomatch.messages.v1 import callback_pb2 as pb

MESSAGE_LIMIT = 1_000_000
"""Bytes that no serialised message exceeds."""

_EVENT_BYTES = 400_000
"""Most bytes of packed events in one part: small enough that nobody is busy with one for long,
and the levels of an ordinary batch fit beside it."""

_LEVELS = 25_000
"""Most levels in one part: a level takes at most 21 bytes."""

_LEVEL_BYTES = 21

_BUY = int(Side.BUY)
_SIDES = frozenset((_BUY, int(Side.SELL)))

Levels = tuple[dict[int, int], dict[int, int]]
"""(bids, asks): price in ticks to displayed lots, 0 when the level is gone."""


def batch_messages(batch: AppliedBatch) -> list[bytes]:
    """The serialised PublishRequests of a batch, in order."""
    levels = _triples(batch.bids.items(), batch.asks.items())
    return _batch_parts(
        pb.Batch(
            epoch=batch.epoch,
            first_sequence=batch.first_sequence,
            last_sequence=batch.last_sequence,
            applied=batch.applied,
            time=batch.time,
            summary=_summary_message(batch.summary),
            trace=batch.trace,
        ),
        packed=batch.packed,
        events=batch.events,
        levels=levels,
    )


def journal_messages(
    *, epoch: int, first_sequence: int, last_sequence: int, applied: int, time: int, packed: bytes
) -> list[bytes]:
    """The serialised PublishRequests of a journal row, which knows no levels and no summary.

    Raises CodecError when a row that has to be split cannot be read.
    """
    head = pb.Batch(
        epoch=epoch,
        first_sequence=first_sequence,
        last_sequence=last_sequence,
        applied=applied,
        time=time,
    )
    return _batch_parts(head, packed=packed, events=None, levels=[])


def depth_image_messages(
    *,
    epoch: int,
    sequence: int,
    applied: int,
    bids: Iterable[tuple[int, int]],
    asks: Iterable[tuple[int, int]],
    summary: Summary,
    restart: bool,
) -> list[bytes]:
    """The serialised PublishRequests of the whole displayed book."""
    parts = _level_parts(_triples(bids, asks)) or [[]]
    last = len(parts) - 1
    return [
        pb.PublishRequest(
            depth_image=pb.DepthImage(
                epoch=epoch,
                sequence=sequence,
                applied=applied,
                levels=levels,
                complete=index == last,
                summary=_summary_message(summary),
                restart=restart,
            )
        ).SerializeToString()
        for index, levels in enumerate(parts)
    ]


def announce_message(*, market: str, epoch: int, sequence: int, applied: int) -> bytes:
    """The first message of a stream, serialised."""
    announce = pb.Announce(market=market, epoch=epoch, sequence=sequence, applied=applied)
    return pb.PublishRequest(announce=announce).SerializeToString()


def heartbeat_message(*, epoch: int, sequence: int, applied: int) -> bytes:
    """What is sent when there is nothing to send, serialised."""
    heartbeat = pb.Heartbeat(epoch=epoch, sequence=sequence, applied=applied)
    return pb.PublishRequest(heartbeat=heartbeat).SerializeToString()


def parse_request(data: bytes) -> pb.PublishRequest:
    """Raises CodecError on bytes that are no PublishRequest."""
    try:
        return pb.PublishRequest.FromString(data)
    except DecodeError as error:
        raise CodecError(f"not a callback message: {error}") from error


def part_events(part: pb.Batch) -> list[Event]:
    """The events of one part. Raises CodecError, also when their count is not what it says."""
    count = part.last_sequence - part.first_sequence + 1
    events = unpack_events(part.events) if part.events else []
    if len(events) != count or part.first_sequence < 1:
        raise CodecError(f"a part of {count} events holds {len(events)}")
    return events


def read_levels(triples: Sequence[int], into: Levels) -> None:
    """Add (side, price, displayed) triples to the changed levels. Raises CodecError."""
    if not triples:
        return
    if len(triples) % 3:
        raise CodecError("levels do not come in threes")
    sides, prices, displayed = triples[0::3], triples[1::3], triples[2::3]
    if min(prices) < 1 or min(displayed) < 0 or not _SIDES.issuperset(sides):
        raise CodecError("a level has an impossible side, price or quantity")
    levels = list(zip(sides, prices, displayed, strict=True))
    bids, asks = into
    bids.update((price, lots) for side, price, lots in levels if side == _BUY)
    asks.update((price, lots) for side, price, lots in levels if side != _BUY)


def read_summary(message: pb.Summary) -> Summary:
    """Raises CodecError on an unknown trading state."""
    try:
        state = TradingState(message.state)
    except ValueError as error:
        raise CodecError(f"unknown trading state {message.state}") from error
    return Summary(
        state=state,
        last_price=message.last_price,
        indicative_price=message.indicative_price,
        indicative_volume=message.indicative_volume,
    )


def _summary_message(summary: Summary) -> pb.Summary:
    return pb.Summary(
        state=summary.state,
        last_price=summary.last_price,
        indicative_price=summary.indicative_price,
        indicative_volume=summary.indicative_volume,
    )


def _batch_parts(
    head: pb.Batch, *, packed: bytes, events: Sequence[Event] | None, levels: list[int]
) -> list[bytes]:
    """``head`` has the fields of the whole batch, as they stand in its last part."""
    if len(packed) + len(levels) // 3 * _LEVEL_BYTES <= _EVENT_BYTES:
        head.events = packed
        head.levels.extend(levels)
        head.complete = True
        return [pb.PublishRequest(batch=head).SerializeToString()]
    messages: list[bytes] = []
    sequence = head.first_sequence
    if events is None:
        events = unpack_events(packed)
    for count, data in _event_parts(events, packed):
        part = pb.Batch(
            epoch=head.epoch,
            first_sequence=sequence,
            last_sequence=sequence + count - 1,
            time=head.time,
            events=data,
        )
        sequence += count
        messages.append(pb.PublishRequest(batch=part).SerializeToString())
    # The levels follow in parts without events, so that the last one completes the batch.
    head.first_sequence = head.last_sequence + 1
    level_parts = _level_parts(levels) or [[]]
    for part_levels in level_parts[:-1]:
        part = pb.Batch(
            epoch=head.epoch,
            first_sequence=head.first_sequence,
            last_sequence=head.last_sequence,
            time=head.time,
            levels=part_levels,
        )
        messages.append(pb.PublishRequest(batch=part).SerializeToString())
    head.levels.extend(level_parts[-1])
    head.complete = True
    messages.append(pb.PublishRequest(batch=head).SerializeToString())
    return messages


def _event_parts(events: Sequence[Event], packed: bytes) -> Iterator[tuple[int, bytes]]:
    """(count, compact form) of consecutive slices, each at most _EVENT_BYTES long."""
    if len(packed) <= _EVENT_BYTES or len(events) <= 1:
        yield len(events), packed
        return
    parts = -(-len(packed) // (_EVENT_BYTES * 3 // 4))
    size = max(1, min(len(events) // parts, len(events) - 1))
    for start in range(0, len(events), size):
        slice_ = events[start : start + size]
        yield from _event_parts(slice_, pack_events(slice_))


def _triples(bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> list[int]:
    flat: list[int] = []
    for side, levels in ((int(Side.BUY), bids), (int(Side.SELL), asks)):
        for price, displayed in levels:
            flat += (side, price, displayed)
    return flat


def _level_parts(triples: list[int]) -> list[list[int]]:
    step = _LEVELS * 3
    return [triples[start : start + step] for start in range(0, len(triples), step)]
