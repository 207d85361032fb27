"""A uvicorn server within a program that does more than serve. uvicorn comes with the extras of API
and matcher; nothing else imports this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn


class HostedServer(uvicorn.Server):
    """Without uvicorn's signal handlers: the program's own decide when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
