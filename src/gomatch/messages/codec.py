"""The compact form of commands, events and images: msgpack arrays behind one version byte.

The same bytes go to PostgreSQL (`commands.bodies`, `journal.events`, `snapshots.image`), to the
queue and, inside protobuf, over gRPC: what was hashed is what is sent, and nothing is encoded
twice. A reader refuses a version that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from gomatch.engine import Command, Event, Image, ImageHeader, OrderImage
from gomatch.errors import CodecError

VERSION = b"\x01"
CHAIN_LENGTH = 32
GENESIS_CHAIN = bytes(CHAIN_LENGTH)
"""The chain before a market's first journal row."""

_encoder = msgspec.msgpack.Encoder()
_commands_decoder = msgspec.msgpack.Decoder(list[Command])
_events_decoder = msgspec.msgpack.Decoder(list[Event])
_image_decoder = msgspec.msgpack.Decoder(Image)
_order_decoder = msgspec.msgpack.Decoder(OrderImage)
_header_decoder = msgspec.msgpack.Decoder(ImageHeader)


def pack_commands(commands: Sequence[Command]) -> bytes:
    """Encode consecutive commands; their numbers are kept beside the bytes."""
    return VERSION + _encoder.encode(commands)


def unpack_commands(data: bytes) -> list[Command]:
    """Raises CodecError on bytes of another version or shape."""
    commands: list[Command] = _unpack(_commands_decoder, data)
    return commands


def pack_command(command: Command) -> bytes:
    """The normalised form of one command, used for hashing and in problem reports."""
    return _encoder.encode(command)


def pack_events(events: Sequence[Event]) -> bytes:
    return VERSION + _encoder.encode(events)


def unpack_events(data: bytes) -> list[Event]:
    """Raises CodecError on bytes of another version or shape."""
    events: list[Event] = _unpack(_events_decoder, data)
    return events


def pack_order(order: OrderImage) -> bytes:
    """One open order, as it stands in Redis' `:orders` and in an image."""
    return _encoder.encode(order)


def unpack_order(data: bytes) -> OrderImage:
    """Raises CodecError."""
    try:
        return _order_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise CodecError(f"not an order: {error}") from error


def pack_header(header: ImageHeader) -> bytes:
    return VERSION + _encoder.encode(header)


def unpack_header(data: bytes) -> ImageHeader:
    """Raises CodecError."""
    header: ImageHeader = _unpack(_header_decoder, data)
    return header


def pack_image(image: Image) -> bytes:
    return VERSION + _encoder.encode(image)


def image_beginning(packed_header: bytes, orders: int) -> bytes:
    """What an image begins with; after it come so many packed orders, sorted by number. The whole
    is what pack_image gives for the same state."""
    # MessagePack: an array of two, the header and an array of orders.
    if orders < 16:
        length = bytes((0x90 | orders,))
    elif orders < 1 << 16:
        length = b"\xdc" + orders.to_bytes(2, "big")
    else:
        length = b"\xdd" + orders.to_bytes(4, "big")
    return VERSION + b"\x92" + packed_header[len(VERSION) :] + length


def unpack_image(data: bytes) -> Image:
    """Raises CodecError."""
    image: Image = _unpack(_image_decoder, data)
    return image


def next_chain(
    previous: bytes,
    *,
    first_number: int,
    last_number: int,
    first_sequence: int,
    last_sequence: int,
    epoch: int,
    rules_version: int,
    time: int,
    events: bytes,
) -> bytes:
    """The chain after a journal row: BLAKE2b-256 of the chain before it and the row."""
    digest = blake2b(previous, digest_size=CHAIN_LENGTH)
    row = (first_number, last_number, first_sequence, last_sequence, epoch, rules_version, time)
    digest.update(_encoder.encode(row))
    digest.update(events)
    return digest.digest()


def _unpack(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:
    if data[:1] != VERSION:
        raise CodecError(f"unknown version {data[:1].hex() or 'none'} of the compact form")
    try:
        return decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(f"malformed compact form: {error}") from error
