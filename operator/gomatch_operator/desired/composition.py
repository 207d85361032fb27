"""`desired`: all that one Market shall be."""

from __future__ import annotations

from typing import Any

from gomatch.errors import ConfigurationError
from gomatch_operator.cluster.projection import projection_hash
from gomatch_operator.desired.config_map import config_map, environment
from gomatch_operator.desired.deployment import deployment
from gomatch_operator.desired.disruption_budget import disruption_budget
from gomatch_operator.desired.network_policy import network_policy
from gomatch_operator.desired.service import service
from gomatch_operator.desired.values import Desired, DesiredObject
from gomatch_operator.market import Market, MarketSpec, definition, trading_state
from gomatch_operator.queue.desired_queue import DesiredQueue
from gomatch_operator.settings import OperatorSettings
from gomatch_operator.watched import ObjectKey


def desired(market: Market, settings: OperatorSettings, *, image: str) -> Desired:
    """The same for the same arguments, to the byte. ``image`` is what the matchers shall run now:
    see `chosen_image` and rollouts.py.

    Raises ConfigurationError when the Market's spec cannot be read.
    """
    spec = market.spec
    if spec is None:
        raise ConfigurationError(f"Market {market.key}: {market.problem}")
    bodies = [config_map(market, spec, settings), service(market), disruption_budget(market)]
    if settings.network.enabled:
        bodies.append(network_policy(market, settings))
    bodies.append(
        deployment(market, spec, settings, image=image, environment=environment(spec, settings))
    )
    return Desired(
        market=market.key,
        uid=market.uid,
        symbol=spec.symbol,
        objects=tuple(map(_object, bodies)),
        queue=DesiredQueue(symbol=spec.symbol, max_length=spec.queue.max_length),
        definition=definition(spec),
        state=trading_state(spec.state),
    )


def chosen_image(spec: MarketSpec, default: str) -> str:
    """A Market's own image wins over the installation's."""
    return spec.matcher.image or default


def _object(body: dict[str, Any]) -> DesiredObject:
    metadata = body["metadata"]
    return DesiredObject(
        key=ObjectKey(body["kind"], metadata["namespace"], metadata["name"]),
        body=body,
        hash=projection_hash(body),
    )
