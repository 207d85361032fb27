"""The Redis mirror, read at one moment, against the engine at the mirror's own sequence."""

from __future__ import annotations

from collections.abc import Callable

from gomatch.cache import BookMirror, MirrorContents
from gomatch.credentials import Endpoint
from gomatch.engine import Engine, Side
from gomatch.errors import CacheError, CacheStale
from gomatch.messages.codec import pack_header, pack_order

Report = Callable[[str, str], None]


async def read_mirror(
    server: str | Endpoint,
    symbol: str,
    report: Report,
    unchecked: Callable[[str], None],
    *,
    expected: bool,
) -> MirrorContents | None:
    """The mirror whole, or None when there is none to compare. Reported: one that does not add
    up; unchecked: one that cannot be reached, or is not there though ``expected``."""
    mirror = BookMirror(server, symbol, timeout=10.0)
    try:
        contents = await mirror.contents()
    except CacheStale as error:
        report("mirror_torn", str(error))
        return None
    except CacheError as error:
        unchecked(f"{symbol}: the Redis mirror cannot be read: {error}")
        return None
    finally:
        await mirror.close()
    if contents is None and expected:
        unchecked(f"{symbol}: there is no Redis mirror")
    return contents


def compare_mirror(contents: MirrorContents, engine: Engine, chain: bytes, report: Report) -> None:
    """``engine`` and ``chain`` are as of the mirror's sequence."""
    meta = contents.meta
    sequence = meta.sequence
    if meta.chain != chain:
        report("mirror_chain", f"the mirror's chain at {sequence} is not the journal's")
        return
    if contents.header != pack_header(engine.header()):
        report("mirror_header", f"the mirror's header at {sequence} differs")
    image = engine.image()
    expected = {order.number: pack_order(order) for order in image.orders}
    for number in sorted(expected.keys() | contents.orders.keys()):
        if expected.get(number) != contents.orders.get(number):
            report("mirror_order", f"order {number} differs in the mirror at {sequence}")
    for side, entries in ((Side.BUY, contents.bids), (Side.SELL, contents.asks)):
        book = sorted(
            (
                (order.side, order.price, order.priority, order.number)
                for order in image.orders
                if order.side is side and order.priority
            ),
            key=lambda entry: (-entry[1] if entry[0] is Side.BUY else entry[1], entry[2]),
        )
        if book != [tuple(entry) for entry in entries]:
            report("mirror_book", f"the mirror's {side.name} book at {sequence} differs")
    levels = dict(engine.depth(Side.BUY, None)), dict(engine.depth(Side.SELL, None))
    if levels != (dict(contents.bid_levels), dict(contents.ask_levels)):
        report("mirror_depth", f"the mirror's depth at {sequence} differs")
