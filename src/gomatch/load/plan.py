"""What a run is asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gomatch.errors import ConfigurationError
from gomatch.load.flow import REALISTIC_MIX, FlowMarket, FlowMix

LARGEST_BATCH = 500

Via = Literal["rest", "ws"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """``tokens`` has one bearer token for each user. ``rate`` is in commands a second over all
    users and markets, 0 as fast as it goes. ``window`` is how many requests each user keeps in
    flight in each market; with ``until_seen`` a request counts as in flight until the results of
    its orders were seen on the user's stream. ``orders`` 0 means as many as fit into ``seconds``.

    ``alone`` says that the only user trades with itself, without self-trade prevention.

    ``ring`` above 0 prepares that many operations of each market before the run and goes through
    them again and again, so that making them costs nothing while servers are measured.
    """

    url: str
    tokens: Sequence[str]
    markets: Sequence[FlowMarket]
    orders: int = 10_000
    seconds: float = 60.0
    rate: float = 0.0
    window: int = 1
    until_seen: bool = False
    batch: int = 1
    via: Via = "rest"
    mix: FlowMix = REALISTIC_MIX
    seed: int = 1
    ring: int = 0
    client_ids: str = ""
    alone: bool = False
    depth_subscribers: int = 0
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ConfigurationError("a load needs at least one user's token")
        if not self.markets:
            raise ConfigurationError("a load needs at least one market")
        if not 1 <= self.batch <= LARGEST_BATCH:
            raise ConfigurationError(f"batch must be from 1 to {LARGEST_BATCH}")
        if self.window < 1 or self.orders < 0 or self.seconds <= 0 or self.rate < 0:
            raise ConfigurationError("window, orders, duration and rate must not be negative")
