"""A Market in a terminal: what kubectl prints, asks and explains."""

from __future__ import annotations

import json
import subprocess
import textwrap

import pytest
import yaml

from tests.fixtures.apiserver import ControlPlane
from tests.fixtures.market_schema import MINIMAL, fields_of, market, market_schema
from tests.integration.operator.crd.market_kind import MarketKind
from tests.integration.operator.crd.test_crd_status import FULL

UNCHECKED = (
    "* <nil>: Invalid value: null: some validation rules were not checked because the object was "
    "invalid; correct the existing errors to complete validation"
)


def _manifest(spec: str, name: str = "btc-usdt") -> str:
    """A file as people write it: ``spec`` is YAML."""
    head = f"apiVersion: gomatch.io/v1alpha1\nkind: Market\nmetadata:\n  name: {name}\nspec:\n"
    return head + textwrap.indent(textwrap.dedent(spec), "  ")


SOUND = """\
    symbol: BTC-USDT
    base: BTC
    quote: USDT
    tickSize: "0.01"
    lotSize: "0.00001"
    """


def _apply(plane: ControlPlane, manifest: str, *options: str) -> str:
    return plane.kubectl("apply", "-f", "-", *options, stdin=manifest)


def _refusal(plane: ControlPlane, manifest: str, *options: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _apply(plane, manifest, *options)
    return str(refused.value.stderr)


@pytest.mark.parametrize(
    ("quoted", "unquoted", "field", "kind"),
    [
        ('tickSize: "0.01"', "tickSize: 0.01", "tickSize", "number"),
        ('tickSize: "0.01"', "tickSize: 1", "tickSize", "integer"),
        ('tickSize: "0.01"', "tickSize: 1e-2", "tickSize", "number"),
        ("base: BTC", "base: 1", "base", "integer"),
        ("quote: USDT", "quote: ON", "quote", "boolean"),
    ],
)
def test_what_yaml_does_not_take_for_text_is_refused_by_its_type(
    installed: ControlPlane, namespace: str, quoted: str, unquoted: str, field: str, kind: str
) -> None:
    manifest = _manifest(SOUND.replace(quoted, unquoted))

    assert _refusal(installed, manifest, f"--namespace={namespace}") == (
        'The Market "btc-usdt" is invalid: \n'
        f'* spec.{field}: Invalid value: "{kind}": '
        f'spec.{field} in body must be of type string: "{kind}"\n'
        f"{UNCHECKED}\n"
    )


def test_all_that_is_wrong_is_listed_at_once(installed: ControlPlane, namespace: str) -> None:
    manifest = _manifest(SOUND.replace('"0.01"', '"0"').replace("symbol: BTC", "symbol: ETH"))

    refusal = _refusal(installed, manifest, f"--namespace={namespace}")

    first, *lines = refusal.splitlines()
    assert first == 'The Market "btc-usdt" is invalid: '
    assert [line.partition(": ")[0] for line in lines] == ["* spec.symbol", "* spec.tickSize"]


def test_a_misspelt_field_is_refused_or_warned_of_as_kubectl_is_told(
    installed: ControlPlane, namespace: str
) -> None:
    manifest = _manifest(SOUND + "minQuantiy: '1'\n    fees: {makre: '0'}\n")
    where = f"--namespace={namespace}"

    refusal = _refusal(installed, manifest, where, "--validate=strict")
    by_default = _refusal(installed, manifest, where)
    _apply(installed, manifest, where, "--validate=ignore")
    stored = json.loads(installed.kubectl("get", "mkt", "btc-usdt", where, "-o", "json"))

    assert refusal == by_default
    assert 'strict decoding error: unknown field "spec.fees.makre"' in refusal
    assert 'unknown field "spec.minQuantiy"' in refusal
    assert "minQuantiy" not in stored["spec"]
    assert stored["spec"]["fees"] == {"maker": "0", "taker": "0"}


def test_a_changed_tick_size_in_the_file_is_refused(
    installed: ControlPlane, namespace: str
) -> None:
    where = f"--namespace={namespace}"
    _apply(installed, _manifest(SOUND), where)

    refusal = _refusal(installed, _manifest(SOUND.replace("0.01", "0.02")), where)
    again = _apply(installed, _manifest(SOUND.replace("0.01", "0.010")), where)

    assert refusal == (
        'The Market "btc-usdt" is invalid: spec.tickSize: Forbidden: the tickSize of a market '
        'never changes: keep "0.01", or create another Market\n'
    )
    assert again == "market.gomatch.io/btc-usdt configured\n"


def test_a_price_band_that_the_file_lost_is_refused(
    installed: ControlPlane, namespace: str
) -> None:
    where = f"--namespace={namespace}"
    _apply(installed, _manifest(SOUND + 'priceBand: {fraction: "0.1"}\n'), where)

    assert "spec.priceBand: Required value: a price band is not removed by leaving it out" in (
        _refusal(installed, _manifest(SOUND), where)
    )


def test_the_list_shows_what_one_looks_for_first(
    installed: ControlPlane, markets: MarketKind
) -> None:
    name = markets.status_written(markets.created(MINIMAL), FULL)["metadata"]["name"]

    printed = installed.kubectl("get", "mkt", name, f"--namespace={markets.namespace}")

    head, row = (line.split() for line in printed.splitlines())
    assert head == ["NAME", "SYMBOL", "STATE", "READY", "LEADER", "DEPTH", "AGE"]
    assert row[:-1] == [name, "BTC-USDT", "Running", "True", FULL["leader"], "7"]


def test_a_new_market_is_listed_before_the_operator_has_seen_it(
    installed: ControlPlane, markets: MarketKind
) -> None:
    name = markets.created(MINIMAL)["metadata"]["name"]

    printed = installed.kubectl(
        "get", "mkt", name, f"--namespace={markets.namespace}", "--no-headers"
    )

    assert printed.split()[:-1] == [name, "BTC-USDT"]


def test_standbys_are_scaled_within_their_limits(
    installed: ControlPlane, markets: MarketKind
) -> None:
    stored = markets.status_written(markets.created(MINIMAL), FULL)
    name, where = stored["metadata"]["name"], f"--namespace={markets.namespace}"
    path = f"/apis/gomatch.io/v1alpha1/namespaces/{markets.namespace}/markets/{name}/scale"

    installed.kubectl("scale", f"mkt/{name}", "--replicas=2", where)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        installed.kubectl("scale", f"mkt/{name}", "--replicas=3", where)
    scale = json.loads(installed.apiserver.get(path))

    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 1, "selector": FULL["selector"]}
    assert "spec.standbys in body should be less than or equal to 2" in refused.value.stderr


def test_markets_are_found_by_their_symbol(installed: ControlPlane, namespace: str) -> None:
    where = f"--namespace={namespace}"
    other = {**MINIMAL, "symbol": "ETH-USDT", "base": "ETH"}
    _apply(installed, yaml.safe_dump(market(MINIMAL)), where)
    _apply(installed, yaml.safe_dump(market(other, name="eth-usdt")), where)

    found = installed.kubectl(
        "get", "mkt", where, "--field-selector=spec.symbol=ETH-USDT", "-o", "name"
    )

    assert found == "market.gomatch.io/eth-usdt\n"


def _explained() -> list[str]:
    """Paths of the objects: explaining one shows its own description and those of its fields."""
    parents = {path for path, node in fields_of(market_schema()) if "properties" in node}
    return ["", *sorted(path.replace("[]", "") for path in parents - {"metadata"})]


@pytest.mark.parametrize("path", _explained())
def test_kubectl_explain_describes_every_field(installed: ControlPlane, path: str) -> None:
    printed = " ".join(installed.kubectl("explain", f"mkt.{path}".rstrip(".")).split())

    described = {
        field.replace("[]", "").replace("{}", ""): node["description"]
        for field, node in [("", market_schema()), *fields_of(market_schema())]
        if not field.startswith("metadata") and not field.endswith(("[]", "{}"))
    }
    shown = [described[path]] if path in described else []
    for field, description in described.items():
        if field and field.rpartition(".")[0] == path and field not in {"apiVersion", "kind"}:
            shown.append(description)
            assert f" {field.rpartition('.')[2]} <" in printed
    assert shown
    for description in shown:
        assert " ".join(description.split()) in printed
