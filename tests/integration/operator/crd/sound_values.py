"""Parts of a Market's spec that are sound: of every field at least one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def matcher(**fields: Any) -> Mapping[str, Any]:
    return {"matcher": fields}


def identity(base: str, quote: str) -> Mapping[str, Any]:
    return {"symbol": f"{base}-{quote}", "base": base, "quote": quote}


def toleration(**fields: Any) -> Mapping[str, Any]:
    return matcher(tolerations=[fields])


_LONGEST = f"{'9' * 15}.{'9' * 9}"

TAKEN: list[Mapping[str, Any]] = [
    {},
    identity("A", "1"),
    identity("1INCH", "ABCDEFGHIJKLMNOP"),
    {"tickSize": "0.000000001"},
    {"tickSize": "100"},
    {"tickSize": _LONGEST},
    {"lotSize": "1"},
    {"lotSize": "0.000000001"},
    {"minQuantity": "0.5", "maxQuantity": "0.50"},
    {"minQuantity": "9.5", "maxQuantity": "10"},
    {"maxQuantity": _LONGEST},
    {"minNotional": "0"},
    {"minNotional": "10.5"},
    {"referencePrice": "50000"},
    {"state": "Running"},
    {"state": "Auction"},
    {"state": "CancelOnly"},
    {"state": "Halted"},
    {"state": "Closed"},
    {"transport": "RabbitMQ"},
    {"transport": "Kafka"},
    {"selfTradePrevention": "None"},
    {"selfTradePrevention": "CancelOldest"},
    {"selfTradePrevention": "CancelBoth"},
    {"selfTradePrevention": "Decrement"},
    {"priceBand": {"fraction": "0.1"}},
    {"priceBand": {"mode": "Halt", "fraction": "100"}},
    {"priceBand": {"mode": "None"}},
    {"priceBand": {"mode": "None", "fraction": "0"}},
    {"fees": {"maker": "-0.0001", "taker": "0.001"}},
    {"fees": {"maker": "-0.999999999", "taker": "0.999999999"}},
    {"maxOpenOrders": 0},
    {"maxOpenOrders": 1_000_000_000},
    {"standbys": 2},
    {"queue": {"maxLength": 1}},
    {"queue": {"maxLength": 10_000_000}},
    {"snapshot": {"interval": "999999d"}},
    {"retention": {"orders": "365d", "journal": "12h"}},
    {"deletionPolicy": "Delete"},
    {"drainTimeoutSeconds": 1},
    {"drainTimeoutSeconds": 86_400},
    matcher(image="registry.example.com:5000/gomatch/matcher:1.2.3@sha256:0a1b2c"),
    matcher(imagePullPolicy="Always"),
    matcher(resources={"requests": {"cpu": "500m", "memory": "128Mi"}, "limits": {"cpu": 1}}),
    matcher(resources={"limits": {"memory": "1Gi", "example.com/device": 1}}),
    matcher(nodeSelector={"disktype": "ssd"}),
    toleration(operator="Exists"),
    toleration(key="gpu", operator="Equal", value="yes", effect="NoSchedule"),
    toleration(key="gpu", operator="Exists", effect="NoExecute", tolerationSeconds=60),
    matcher(
        affinity={
            "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []},
            "podAffinity": {},
            "podAntiAffinity": {},
        }
    ),
    matcher(priorityClassName="trading.high"),
    matcher(podLabels={"team": "markets"}, podAnnotations={"example.com/note": "a b"}),
]
"""Each is written over the minimal spec."""
