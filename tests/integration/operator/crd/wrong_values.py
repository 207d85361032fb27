"""Parts of a Market's spec that are wrong, of every field, and what a user reads about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.integration.operator.crd.sound_values import matcher, toleration


class Wrong(NamedTuple):
    given: Mapping[str, Any]
    """Written over the minimal spec."""
    field: str
    """The one that is blamed."""
    says: str


_PLAIN = "at most 15 digits before the point and 9 after it, no sign, no exponent, no spaces"
_ABOVE_0 = 'write a plain decimal above 0 in quotes, such as "{}": ' + _PLAIN
_FEE = (
    'write a plain decimal above -1 and below 1 in quotes, such as "0.001": at most 15 digits '
    "before the point and 9 after it, no exponent, no spaces"
)
_DECIMALS = {
    "tickSize": _ABOVE_0.format("0.01"),
    "lotSize": _ABOVE_0.format("0.00001"),
    "minQuantity": _ABOVE_0.format("0.001"),
    "maxQuantity": _ABOVE_0.format("1000"),
    "minNotional": f'write a plain decimal in quotes, such as "10": {_PLAIN}',
    "referencePrice": _ABOVE_0.format("50000"),
    "priceBand.fraction": (
        f'write a plain decimal of at most 100 in quotes, such as "0.1": {_PLAIN}'
    ),
    "fees.maker": _FEE,
    "fees.taker": _FEE,
}
_NO_DECIMALS = [
    "",
    " 1",
    "1\n",
    "+1",
    "--1",
    "01",
    ".5",
    "5.",
    "1,5",
    "1_000",
    "1e-2",
    "1e999999999",
    "0x1",
    "1k",
    "NaN",
    "Infinity",
    "\u0663",
    "1.0000000001",
    "1" * 16,
]
_OUT_OF_RANGE = {
    "tickSize": ["0", "0.000", "-0.01"],
    "lotSize": ["0", "0.000", "-0.01"],
    "minQuantity": ["0", "-1"],
    "maxQuantity": ["0", "-1"],
    "minNotional": ["-1"],
    "referencePrice": ["0", "-1"],
    "priceBand.fraction": ["100.000000001", "-0.1"],
    "fees.maker": ["-1", "1", "1.5", "999999999999999"],
    "fees.taker": ["-1", "1", "-1.000000001"],
}


def _nested(path: str, value: object) -> Mapping[str, Any]:
    outer, _, inner = path.partition(".")
    return {outer: {inner: value} if inner else value}


def _wrong_decimals() -> Iterator[Wrong]:
    for path, says in _DECIMALS.items():
        for text in [*_NO_DECIMALS, *_OUT_OF_RANGE[path]]:
            yield Wrong(_nested(path, text), f"spec.{path}", f'Invalid value: "string": {says}')
        for number, kind in ((0.01, "number"), (1, "integer"), (True, "boolean")):
            yield _of_type(_nested(path, number), f"spec.{path}", "string", kind)
        yield Wrong(
            _nested(path, "1." + "0" * 31),
            f"spec.{path}",
            "Too long: may not be more than 32 bytes",
        )


def _of_type(given: Mapping[str, Any], field: str, wanted: str, kind: str) -> Wrong:
    return Wrong(
        given, field, f'Invalid value: "{kind}": {field} in body must be of type {wanted}: "{kind}"'
    )


def _range(field: str, value: int, bound: str) -> Wrong:
    path = f"spec.{field}"
    return Wrong(_nested(field, value), path, f"Invalid value: {value}: {path} in body {bound}")


def _choice(field: str, value: str, *choices: str) -> Wrong:
    supported = ", ".join(f'"{choice}"' for choice in choices)
    return Wrong(
        _nested(field, value),
        f"spec.{field}",
        f'Unsupported value: "{value}": supported values: {supported}',
    )


def _wrong_durations() -> Iterator[Wrong]:
    says = "write a whole number of at most 6 digits with a unit, such as 30s, 15m, 1h or 7d"
    for path in ("snapshot.interval", "retention.orders", "retention.journal"):
        for text in ("", "0s", "15", "m", "1h30m", "-5m", "1.5h", "5 m", "1w", "015m"):
            yield Wrong(_nested(path, text), f"spec.{path}", f'Invalid value: "string": {says}')
        yield Wrong(
            _nested(path, "1000000s"), f"spec.{path}", "Too long: may not be more than 7 bytes"
        )
        yield _of_type(_nested(path, 900), f"spec.{path}", "string", "integer")


_BAND_MISSING = (
    "Required value: write how far the band reaches, such as fraction: "
    '"0.1" for 10 %, or mode: None for no band'
)
_BAND_ZERO = (
    'Invalid value: "object": a band is wider than 0: write a fraction such as "0.1" for 10 %, '
    "or mode: None for no band"
)
_SYMBOL = (
    'Invalid value: "object": symbol is base and quote with a dash between: '
    "write symbol: BTC-USDT, or correct base and quote"
)
QUANTITIES = 'Invalid value: "object": write quantities such as cpu: 500m or memory: 256Mi'
_LABELS = (
    'Invalid value: "object": the operator sets gomatch.io/… and name, instance, managed-by and '
    "part-of of app.kubernetes.io itself: use other labels"
)
_ANNOTATIONS = (
    'Invalid value: "object": the operator sets gomatch.io/… and '
    "controller.kubernetes.io/pod-deletion-cost itself: use other annotations"
)
_IMAGE = (
    'Invalid value: "string": write an image as in a Pod, such as '
    "registry.example.com/gomatch-matcher:1.2.3, without spaces"
)
_M = "spec.matcher"

WRONG: list[Wrong] = [
    *_wrong_decimals(),
    *_wrong_durations(),
    Wrong({"symbol": "BTC-USD"}, "spec.symbol", _SYMBOL),
    Wrong({"symbol": "BTCUSDT"}, "spec.symbol", _SYMBOL),
    Wrong({"symbol": "btc-usdt"}, "spec.symbol", _SYMBOL),
    _of_type({"symbol": 5}, "spec.symbol", "string", "integer"),
    *(
        Wrong(
            {side: text, "symbol": symbol},
            f"spec.{side}",
            f'Invalid value: "string": write 1 to 16 capital letters and digits, such as {example}',
        )
        for text in ("btc", "B-C", "B.C", "", "É")
        for side, symbol, example in (("base", "BTC-USDT", "BTC"), ("quote", "BTC-USDT", "USDT"))
    ),
    Wrong({"base": "B" * 17}, "spec.base", "Too long: may not be more than 16 bytes"),
    Wrong({"quote": "B" * 17}, "spec.quote", "Too long: may not be more than 16 bytes"),
    Wrong({"symbol": "B" * 34}, "spec.symbol", "Too long: may not be more than 33 bytes"),
    _of_type({"base": 1}, "spec.base", "string", "integer"),
    _of_type({"quote": True}, "spec.quote", "string", "boolean"),
    Wrong(
        {"minQuantity": "10", "maxQuantity": "9.5"},
        "spec.minQuantity",
        'Invalid value: "object": minQuantity 10 is above maxQuantity 9.5: '
        "no order could be entered",
    ),
    Wrong(
        {"minQuantity": "1", "maxQuantity": "1e999999999"},
        "spec.maxQuantity",
        f'Invalid value: "string": {_DECIMALS["maxQuantity"]}',
    ),
    _choice("state", "Open", "Running", "Auction", "CancelOnly", "Halted", "Closed"),
    _choice("transport", "rabbitmq", "RabbitMQ", "Kafka"),
    _choice(
        "selfTradePrevention",
        "cancel_newest",
        *("None", "CancelNewest", "CancelOldest", "CancelBoth", "Decrement"),
    ),
    _choice("priceBand.mode", "Off", "None", "Refuse", "Halt"),
    Wrong({"priceBand": {}}, "spec.priceBand.fraction", _BAND_MISSING),
    Wrong({"priceBand": {"mode": "Halt"}}, "spec.priceBand.fraction", _BAND_MISSING),
    Wrong({"priceBand": {"fraction": "0.0"}}, "spec.priceBand.fraction", _BAND_ZERO),
    _of_type({"priceBand": "0.1"}, "spec.priceBand", "object", "string"),
    _of_type({"fees": "0.1"}, "spec.fees", "object", "string"),
    _range("maxOpenOrders", -1, "should be greater than or equal to 0"),
    _range("maxOpenOrders", 1_000_000_001, "should be less than or equal to 1000000000"),
    _of_type({"maxOpenOrders": "5"}, "spec.maxOpenOrders", "integer", "string"),
    _of_type({"maxOpenOrders": 1.5}, "spec.maxOpenOrders", "integer", "number"),
    _range("standbys", -1, "should be greater than or equal to 0"),
    _range("standbys", 3, "should be less than or equal to 2"),
    _range("queue.maxLength", 0, "should be greater than or equal to 1"),
    _range("queue.maxLength", 10_000_001, "should be less than or equal to 10000000"),
    _choice("deletionPolicy", "Keep", "Retain", "Delete"),
    _range("drainTimeoutSeconds", 0, "should be greater than or equal to 1"),
    _range("drainTimeoutSeconds", 86_401, "should be less than or equal to 86400"),
    Wrong(matcher(image="a b"), f"{_M}.image", _IMAGE),
    Wrong(matcher(image=" matcher"), f"{_M}.image", _IMAGE),
    Wrong(matcher(image=""), f"{_M}.image", _IMAGE),
    _choice("matcher.imagePullPolicy", "Sometimes", "Always", "IfNotPresent", "Never"),
    Wrong(matcher(resources={"requests": {"cpu": -1}}), f"{_M}.resources.requests", QUANTITIES),
    Wrong(matcher(resources={"limits": {"cpu": -1}}), f"{_M}.resources.limits", QUANTITIES),
    Wrong(
        matcher(resources={"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"cpu": "1500m"}}),
        f"{_M}.resources.requests",
        'Invalid value: "object": a request is at most the limit of the same resource',
    ),
    _of_type(matcher(nodeSelector={"zone": 1}), f"{_M}.nodeSelector.zone", "string", "integer"),
    _of_type(matcher(nodeSelector=["ssd"]), f"{_M}.nodeSelector", "object", "array"),
    _of_type(matcher(tolerations={}), f"{_M}.tolerations", "array", "object"),
    _of_type(toleration(key=1), f"{_M}.tolerations[0].key", "string", "integer"),
    Wrong(
        toleration(),
        f"{_M}.tolerations[0].key",
        "Required value: write the key of a taint, or operator: Exists for every taint",
    ),
    Wrong(
        toleration(key="gpu", operator="In"),
        f"{_M}.tolerations[0].operator",
        'Unsupported value: "In": supported values: "Equal", "Exists"',
    ),
    Wrong(
        toleration(key="gpu", operator="Exists", value="yes"),
        f"{_M}.tolerations[0].value",
        'Invalid value: "object": operator Exists takes no value: leave it out, '
        "or write operator: Equal",
    ),
    Wrong(
        toleration(key="gpu", effect="Never"),
        f"{_M}.tolerations[0].effect",
        'Unsupported value: "Never": supported values: '
        '"NoSchedule", "PreferNoSchedule", "NoExecute"',
    ),
    Wrong(
        toleration(key="gpu", tolerationSeconds=60),
        f"{_M}.tolerations[0].tolerationSeconds",
        'Invalid value: "object": tolerationSeconds goes with effect: NoExecute only',
    ),
    *(
        _of_type(matcher(affinity={kind: []}), f"{_M}.affinity.{kind}", "object", "array")
        for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")
    ),
    Wrong(
        matcher(priorityClassName="Very High"),
        f"{_M}.priorityClassName",
        f'Invalid value: "Very High": {_M}.priorityClassName in body should match '
        "'^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'",
    ),
    Wrong(matcher(podLabels={"gomatch.io/role": "leader"}), f"{_M}.podLabels", _LABELS),
    Wrong(matcher(podLabels={"app.kubernetes.io/name": "mine"}), f"{_M}.podLabels", _LABELS),
    _of_type(matcher(podLabels={"team": 5}), f"{_M}.podLabels.team", "string", "integer"),
    Wrong(matcher(podAnnotations={"gomatch.io/x": ""}), f"{_M}.podAnnotations", _ANNOTATIONS),
    Wrong(
        matcher(podAnnotations={"controller.kubernetes.io/pod-deletion-cost": "1"}),
        f"{_M}.podAnnotations",
        _ANNOTATIONS,
    ),
    _of_type(
        matcher(podAnnotations={"note": True}), f"{_M}.podAnnotations.note", "string", "boolean"
    ),
]
