"""The part of the API's answers and stream messages that the generator looks at.

Fields that are not named here are skipped by the decoder without being built.
"""

from __future__ import annotations

import msgspec


class Acknowledged(msgspec.Struct, gc=False):
    id: str


class ProblemAnswer(msgspec.Struct, gc=False):
    code: str = ""


class ItemAnswer(msgspec.Struct, gc=False):
    """One item's acknowledgement or its problem."""

    order: Acknowledged | None = None
    problem: ProblemAnswer | None = None


class BatchAnswer(msgspec.Struct, gc=False):
    results: list[ItemAnswer]


class PrivateEvent(msgspec.Struct, gc=False):
    """``role`` is maker or taker on a fill; ``order_id`` is missing where no order is meant."""

    event: str
    order_id: str | None = None
    role: str = ""


class StreamMessage(msgspec.Struct, gc=False):
    """Any message of the server on ``/v1/stream``. ``prev`` is the ``sequence`` of the message
    before it on the same subscription; up to ``through`` the subscription is complete."""

    type: str
    id: str | int | None = None
    channel: str = ""
    market: str = ""
    prev: int = 0
    sequence: int = 0
    through: int = 0
    code: str = ""
    retry_after: float | None = None
    events: list[PrivateEvent] = msgspec.field(default_factory=list)
    results: list[ItemAnswer] = msgspec.field(default_factory=list)


class MarketAnswer(msgspec.Struct):
    market: str
    tick_size: str
    lot_size: str
    state: str
    last_price: str | None = None


class MarketsAnswer(msgspec.Struct):
    """``GET /v1/markets``."""

    markets: list[MarketAnswer]


acknowledged_decoder = msgspec.json.Decoder(Acknowledged)
problem_decoder = msgspec.json.Decoder(ProblemAnswer)
batch_decoder = msgspec.json.Decoder(BatchAnswer)
stream_decoder = msgspec.json.Decoder(StreamMessage)
markets_decoder = msgspec.json.Decoder(MarketsAnswer)
