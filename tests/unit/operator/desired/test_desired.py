"""What a Market becomes, compared with files, and what holds for every Market."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gomatch.engine import TradingState
from gomatch.errors import ConfigurationError
from gomatch.settings import Settings
from gomatch_operator import names
from gomatch_operator.desired import Desired, chosen_image, desired
from gomatch_operator.settings import OperatorSettings
from tests.fixtures.example_markets import (
    FULL_SETTINGS,
    FULL_SPEC,
    PLAIN_SETTINGS,
    PLAIN_SPEC,
    UID,
    example_market,
    example_settings,
)

SNAPSHOTS = Path(__file__).resolve().parents[1] / "snapshots"

quantities = st.sampled_from(["1", "1000m", "250m", "1Gi", "64Mi", "0.5"])
words = st.from_regex(r"[a-z]([a-z0-9]{0,8})?", fullmatch=True)
labels = st.dictionaries(words, words, max_size=3)
matchers = st.fixed_dictionaries(
    {},
    optional={
        "image": words,
        "imagePullPolicy": st.sampled_from(["Always", "IfNotPresent", "Never"]),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                "requests": st.dictionaries(st.sampled_from(["cpu", "memory"]), quantities),
                "limits": st.dictionaries(st.sampled_from(["cpu", "memory"]), quantities),
            },
        ),
        "nodeSelector": labels,
        "tolerations": st.lists(
            st.fixed_dictionaries({"key": words, "operator": st.just("Exists")}), max_size=3
        ),
        "priorityClassName": words,
        "podLabels": labels,
        "podAnnotations": labels,
    },
)
specs = st.fixed_dictionaries(
    {key: st.just(value) for key, value in PLAIN_SPEC.items()},
    optional={
        "state": st.sampled_from(["Running", "Auction", "CancelOnly", "Halted", "Closed"]),
        "standbys": st.integers(0, 2),
        "matcher": matchers,
        "queue": st.fixed_dictionaries({"maxLength": st.integers(1, 10_000_000)}),
        "snapshot": st.fixed_dictionaries(
            {"interval": st.from_regex(r"[1-9][0-9]{0,5}(s|m|h|d)", fullmatch=True)}
        ),
    },
)
market_names = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
quick = settings(deadline=None, max_examples=50)
operator_settings = st.sampled_from(
    [example_settings(PLAIN_SETTINGS), example_settings(FULL_SETTINGS)]
)


@pytest.mark.parametrize(
    ("file", "spec", "content"),
    [
        ("plain.yaml", PLAIN_SPEC, PLAIN_SETTINGS),
        ("full.yaml", FULL_SPEC, FULL_SETTINGS),
    ],
)
def test_the_objects_are_those_of_the_snapshot(
    compare_snapshot: Callable[[Path, str], None],
    file: str,
    spec: Mapping[str, Any],
    content: Mapping[str, Any],
) -> None:
    compare_snapshot(SNAPSHOTS / file, _text(_desired(spec, example_settings(content))))


@given(name=market_names, spec=specs, config=operator_settings)
@quick
def test_names_are_valid_and_say_which_market(
    name: str, spec: dict[str, Any], config: OperatorSettings
) -> None:
    wanted = desired(example_market(spec, name=name), config, image="matcher:1")

    assert {each.key.name for each in wanted.objects} == {f"{name}-matcher"}
    assert len(f"{name}-matcher") <= 63
    assert len({each.key for each in wanted.objects}) == len(wanted.objects)
    for each in wanted.objects:
        assert each.key == (each.body["kind"], "venue", each.body["metadata"]["name"])
        assert each.body["metadata"]["labels"]["gomatch.io/market"] == name


@given(spec=specs, config=operator_settings)
@quick
def test_every_object_is_owned_by_its_market(
    spec: dict[str, Any], config: OperatorSettings
) -> None:
    wanted = _desired(spec, config)

    for each in wanted.objects:
        assert each.body["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "gomatch.io/v1alpha1",
                "kind": "Market",
                "name": "btc-usdt",
                "uid": UID,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
        assert "uid" not in each.body["metadata"]


@given(spec=specs, config=operator_settings)
@quick
def test_the_same_market_gives_the_same_bytes(
    spec: dict[str, Any], config: OperatorSettings
) -> None:
    backwards = dict(reversed(spec.items()))

    one, other = _desired(spec, config), _desired(backwards, config)

    assert msgspec.json.encode(one) == msgspec.json.encode(other)


@given(spec=specs, config=operator_settings)
@quick
def test_no_secret_is_in_a_config_map(spec: dict[str, Any], config: OperatorSettings) -> None:
    secrets = {
        f"GOMATCH_{name.upper()}"
        for name, field in Settings.model_fields.items()
        if "Secret" in str(field.annotation)
    }
    data = next(
        each.body["data"] for each in _desired(spec, config).objects if each.key.kind == "ConfigMap"
    )

    urls = {name for name in data if name.endswith("_URL")}
    assert secrets & data.keys() == urls
    assert not [data[name] for name in urls if "@" in data[name] or "password" in data[name]]


@given(spec=specs, config=operator_settings)
@quick
def test_pods_are_selected_by_what_never_changes(
    spec: dict[str, Any], config: OperatorSettings
) -> None:
    deployment = _object(_desired(spec, config), "Deployment")
    selector = deployment["spec"]["selector"]["matchLabels"]

    assert selector == names.selector("btc-usdt")
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert _object(_desired(spec, config), "Service")["spec"]["selector"] == selector


@given(spec=specs, config=operator_settings)
@quick
def test_pods_are_restricted(spec: dict[str, Any], config: OperatorSettings) -> None:
    pod = _object(_desired(spec, config), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "command" not in container
    assert {kind for volume in pod["volumes"] for kind in volume} <= {
        "name",
        "secret",
        "configMap",
        "emptyDir",
    }


def test_a_lost_node_is_left_soon_unless_the_market_stays_on_it_by_itself() -> None:
    def seconds(*tolerations: dict[str, Any]) -> dict[str, int | None]:
        market = example_market({**PLAIN_SPEC, "matcher": {"tolerations": list(tolerations)}})
        *_, pods = desired(market, example_settings(), image="matcher:1").objects
        return {
            each["key"]: each.get("tolerationSeconds")
            for each in pods.body["spec"]["template"]["spec"]["tolerations"]
            if each.get("effect") == "NoExecute"
        }

    not_ready = "node.kubernetes.io/not-ready"
    soon = {not_ready: 10, "node.kubernetes.io/unreachable": 10}
    own = {"key": not_ready, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    assert seconds() == soon
    assert seconds(own) == {**soon, not_ready: 60}
    # To be scheduled on such a node is not to stay on it.
    assert seconds({"key": not_ready, "operator": "Exists", "effect": "NoSchedule"}) == soon


def test_a_market_runs_its_own_image_rather_than_the_installations() -> None:
    own = example_market({**PLAIN_SPEC, "matcher": {"image": "own:1"}})
    plain = example_market()
    assert own.spec is not None
    assert plain.spec is not None

    assert chosen_image(own.spec, "default:1") == "own:1"
    assert chosen_image(plain.spec, "default:1") == "default:1"


def test_pods_are_replaced_when_their_configuration_changes_and_only_then() -> None:
    def template(spec: Mapping[str, Any]) -> Any:
        return _object(_desired(spec, example_settings()), "Deployment")["spec"]["template"]

    plain = template(PLAIN_SPEC)

    assert template({**PLAIN_SPEC, "snapshot": {"interval": "1m"}}) != plain
    assert template({**PLAIN_SPEC, "standbys": 2}) == plain
    assert template({**PLAIN_SPEC, "fees": {"maker": "0.1"}}) == plain
    assert template({**PLAIN_SPEC, "state": "Halted"}) == plain


def test_egress_is_to_the_ports_of_the_servers_and_the_api() -> None:
    policy = _object(_desired(PLAIN_SPEC, example_settings(FULL_SETTINGS)), "NetworkPolicy")

    ports = [
        sorted((port["port"], port.get("protocol", "TCP")) for port in rule["ports"])
        for rule in policy["spec"]["egress"]
    ]

    assert ports == [
        [(53, "TCP"), (53, "UDP")],
        [(5432, "TCP"), (5433, "TCP"), (5671, "TCP"), (6380, "TCP")],
        [(8081, "TCP")],
        [(4318, "TCP")],
    ]


def test_a_policy_is_made_only_when_policies_are_on() -> None:
    off = example_settings({**PLAIN_SETTINGS, "network": {"enabled": False}})

    kinds = {each.key.kind for each in _desired(PLAIN_SPEC, off).objects}

    assert kinds == {"ConfigMap", "Service", "PodDisruptionBudget", "Deployment"}


def test_queue_definition_and_state_follow_the_spec() -> None:
    wanted = _desired(FULL_SPEC, example_settings())

    assert (wanted.symbol, wanted.uid) == ("BTC-USDT", UID)
    assert (wanted.queue.symbol, wanted.queue.max_length) == ("BTC-USDT", 5_000)
    assert wanted.definition.maker_fee == "-0.0001"
    assert wanted.state is TradingState.AUCTION


def test_a_spec_that_cannot_be_read_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigurationError, match=r"venue/btc-usdt.*tickSize"):
        _desired({**PLAIN_SPEC, "tickSize": 0.01}, example_settings())


def _desired(spec: Mapping[str, Any], config: OperatorSettings) -> Desired:
    return desired(example_market(spec), config, image="gomatch-matcher:1")


def _object(wanted: Desired, kind: str) -> Mapping[str, Any]:
    return next(each.body for each in wanted.objects if each.key.kind == kind)


def _text(wanted: Desired) -> str:
    plain = msgspec.to_builtins(list(_documents(wanted)))
    return yaml.dump_all(plain, sort_keys=False, explicit_start=True, Dumper=_NoAliases)


def _documents(wanted: Desired) -> Iterator[Mapping[str, Any]]:
    yield {"queue": wanted.queue, "definition": wanted.definition, "state": wanted.state.name}
    for each in wanted.objects:
        yield each.body


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True
