"""Free TCP ports of 127.0.0.1."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

_FIRST, _LAST = 20_000, 32_000


def free_port(besides: Collection[int] = ()) -> int:
    """A port that nothing listens on, and none of ``besides``, on which something soon will.

    It lies below the range from which the kernel takes ports for outgoing connections, so that
    it is still free when the server that uses it is restarted.
    """
    for port in random.SystemRandom().sample(range(_FIRST, _LAST), 200):
        if port in besides:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {_FIRST} and {_LAST} on 127.0.0.1")
