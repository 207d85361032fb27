"""What one matcher's stream does to a view: checked, put together from its parts, applied."""

from __future__ import annotations

import asyncio

from gomatch.errors import GomatchError
from gomatch.messages.callback import Levels, part_events, read_levels, read_summary
from gomatch.messages.v1 import callback_pb2 as pb
from gomatch_api.feeds.view import MarketView

SLICE = 2_000
"""Events handled before other tasks get their turn."""


class FeedError(GomatchError):
    """The stream cannot go on."""

    code = "feed"


class StaleEpoch(FeedError):
    """The matcher is an old leader: a newer one has been here."""

    code = "stale_epoch"


class SequenceGap(FeedError):
    """Something between what the view holds and what came is missing."""

    code = "sequence_gap"


class Superseded(FeedError):
    """A newer stream feeds this market now."""

    code = "superseded"


class FeedInputs:
    """Which stream feeds a view: the newest one of the newest epoch."""

    def __init__(self, view: MarketView) -> None:
        self.view = view
        self.current: FeedInput | None = None

    def open(self, epoch: int) -> FeedInput:
        """Begin a stream; the one before it ends. Raises StaleEpoch."""
        if epoch < self.view.epoch:
            raise StaleEpoch(f"epoch {epoch} is older than {self.view.epoch}, which was here")
        self.view.epoch = epoch
        self.view.connected = True
        self.current = FeedInput(self)
        return self.current

    def close(self, feed: FeedInput) -> None:
        if self.current is feed:
            self.current = None
            self.view.connected = False


class FeedInput:
    """One stream. Every method raises Superseded once a newer stream has begun."""

    def __init__(self, owner: FeedInputs) -> None:
        self._owner = owner
        self._view = owner.view
        self._batch_levels: Levels = ({}, {})
        self._image_levels: Levels = ({}, {})

    def hello(self) -> pb.Hello:
        """What the view holds now."""
        view = self._view
        book = view.depth_book
        whole = book is not None and book.through >= view.sequence
        return pb.Hello(last_sequence=view.sequence, has_depth=whole)

    async def receive(self, request: pb.PublishRequest) -> None:
        """Apply one message. Raises FeedError, CodecError."""
        self._check()
        kind = request.WhichOneof("message")
        if kind == "batch":
            await self._batch(request.batch)
        elif kind == "depth_image":
            self._image(request.depth_image)
        elif kind == "heartbeat":
            if request.heartbeat.sequence > self._view.sequence:
                raise SequenceGap(
                    f"the matcher has sent up to {request.heartbeat.sequence}, "
                    f"here it is {self._view.sequence}"
                )
            beat = request.heartbeat
            self._view.confirm(sequence=beat.sequence, applied=beat.applied)
        else:
            raise FeedError(f"unexpected message {kind or 'without content'}")

    def _check(self) -> None:
        if self._owner.current is not self:
            raise Superseded("a newer stream feeds this market")

    async def _batch(self, part: pb.Batch) -> None:
        view = self._view
        if part.first_sequence > view.sequence + 1:
            raise SequenceGap(f"{part.first_sequence} came after {view.sequence}")
        events = part_events(part)
        if events:
            view.waits.add(part.first_sequence, part.events, count=len(events))
        known = view.sequence + 1 - part.first_sequence
        first, events = part.first_sequence + known, events[known:]
        read_levels(part.levels, self._batch_levels)
        while events:
            slice_, events = events[:SLICE], events[SLICE:]
            view.take_events(first, slice_, part.time)
            first += len(slice_)
            if events:
                await asyncio.sleep(0)
                self._check()
        if part.complete:
            bids, asks = self._batch_levels
            self._batch_levels = ({}, {})
            view.complete(
                applied=part.applied,
                last_sequence=part.last_sequence,
                bids=bids,
                asks=asks,
                summary=read_summary(part.summary) if part.HasField("summary") else None,
            )

    def _image(self, part: pb.DepthImage) -> None:
        view = self._view
        read_levels(part.levels, self._image_levels)
        if not part.complete:
            return
        bids, asks = self._image_levels
        self._image_levels = ({}, {})
        if not part.restart and part.sequence < view.sequence:
            raise SequenceGap(f"a depth image of {part.sequence} came after {view.sequence}")
        summary = read_summary(part.summary)
        if part.restart:
            view.restart(sequence=part.sequence, applied=part.applied)
        else:
            view.confirm(sequence=part.sequence, applied=part.applied)
        view.load_depth(part.sequence, bids, asks, summary)
