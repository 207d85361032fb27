"""Free TCP ports of 127.0.0.1."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 20_000, 32_000


def free_port() -> int:
    """A port that nothing listens on.

    It lies below the range from which the kernel takes ports for outgoing connections, so that
    it is still free when the server that uses it is restarted.
    """
    for port in random.SystemRandom().sample(range(_FIRST, _LAST), 200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port between {_FIRST} and {_LAST} on 127.0.0.1")
