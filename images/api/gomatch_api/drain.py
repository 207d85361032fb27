"""Taking a replica out of service without losing a request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """``begun``: not ready any more, and no connection is kept for a further request."""

    begun: bool = False

    def begin(self) -> None:
        self.begun = True
