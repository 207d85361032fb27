"""An API replica of its own process, so that a test can freeze it.

Prints its port, then each sequence that its view has reached.
"""

from __future__ import annotations

import asyncio
import sys

from gomatch_api.callback_server import CallbackServer
from gomatch_api.feeds import Feeds
from tests.unit.feeds.scripted import SYMBOL, lookup


async def main() -> None:
    feeds = Feeds(lookup)
    server = CallbackServer(feeds, host="127.0.0.1", port=0)
    await server.start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    said = 0
    while True:
        await asyncio.sleep(0.01)
        sequence = feeds.view(SYMBOL).sequence
        if sequence != said:
            said = sequence
            sys.stdout.write(f"{sequence}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
