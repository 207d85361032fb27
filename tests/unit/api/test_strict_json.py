import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomatch_api import codes
from gomatch_api.codes import ProblemCode
from gomatch_api.problems import Problem
from gomatch_api.requests import parse_batch, parse_new
from gomatch_api.strict_json import check_duplicate_keys, check_well_formed

VALID = {
    "market": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "1.00",
    "quantity": "1",
    "expires_at": "2030-01-01T00:00:00Z",
}


def refusal(body: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        parse_new(body)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"market":"BTC',
        b"nope",
        b"{}x",
        b'{"market":NaN}',
        b'{"market":Infinity}',
        b'{"market":0x10}',
        b'{"market":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"market":"\\ud800"}',
        b'{"market":"a\nb"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=range(14),
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    assert refusal(body).code in (codes.MALFORMED_JSON, codes.UNKNOWN_FIELD, codes.WRONG_TYPE)
    with pytest.raises(Problem) as caught:
        check_well_formed(body)
    assert caught.value.code is codes.MALFORMED_JSON


def test_a_fault_in_a_field_does_not_hide_that_the_body_is_cut_off() -> None:
    assert refusal(b'{"market":"BTC-USDT","side":"x"').code is codes.MALFORMED_JSON


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"market": None}, codes.WRONG_TYPE, "market"),
        ({"side": "up"}, codes.INVALID_VALUE, "side"),
        ({"side": 1}, codes.WRONG_TYPE, "side"),
        ({"type": ""}, codes.INVALID_VALUE, "type"),
        ({"price": 1}, codes.DECIMAL_NOT_STRING, "price"),
        ({"price": 1.5}, codes.DECIMAL_NOT_STRING, "price"),
        ({"quantity": 10**400}, codes.DECIMAL_NOT_STRING, "quantity"),
        ({"quantity": True}, codes.WRONG_TYPE, "quantity"),
        ({"quantity": ["1"]}, codes.WRONG_TYPE, "quantity"),
        ({"quantity": {"a": 1}}, codes.WRONG_TYPE, "quantity"),
        ({"post_only": "yes"}, codes.WRONG_TYPE, "post_only"),
        ({"time_in_force": "day"}, codes.INVALID_VALUE, "time_in_force"),
        ({"surprise": 1}, codes.UNKNOWN_FIELD, "surprise"),
        ({"action": "new"}, codes.UNKNOWN_FIELD, "action"),
    ],
)
def test_each_wrong_field_is_named(
    change: dict[str, object], code: ProblemCode, field: str
) -> None:
    problem = refusal(json.dumps({**VALID, **change}).encode())
    assert (problem.code, problem.field) == (code, field)


@pytest.mark.parametrize("field", ["market", "side", "type", "quantity"])
def test_each_missing_field_is_named(field: str) -> None:
    problem = refusal(json.dumps({k: v for k, v in VALID.items() if k != field}).encode())
    assert (problem.code, problem.field) == (codes.MISSING_FIELD, field)


def test_a_number_out_of_range_is_no_decimal() -> None:
    problem = refusal(b'{"market":"BTC-USDT","side":"buy","type":"limit","quantity":1e400}')
    assert (problem.code, problem.field) == (codes.DECIMAL_NOT_STRING, "quantity")


def test_what_a_client_sent_is_shown_short_and_printable() -> None:
    problem = refusal(json.dumps({**VALID, "x" * 10_000: 1, "side": "buy"}).encode())
    assert len(problem.detail) < 200
    problem = refusal(json.dumps({**VALID, "a\u0000\u202e": 1}).encode())
    assert problem.detail.isprintable()


DUPLICATES = [
    b'{"price":"1","price":"2"}',
    b'{"price":"1","price" :"2"}',
    b'{"price":"1" , \n"price"\t:\r"1"}',
    b'{"price":"1","pr\\u0069ce":"1"}',
    b'{"market":"a:b","price":"1","price":"1"}',
    b'{"price":null,"price":"1"}',
    b'{"price":"1","price":null}',
]


@pytest.mark.parametrize("body", DUPLICATES, ids=range(len(DUPLICATES)))
def test_a_key_given_twice_is_refused(body: bytes) -> None:
    rest = json.dumps({k: v for k, v in VALID.items() if k not in ("price", "market")}).encode()
    whole = body[:-1] + b',"market":"BTC-USDT",' + rest[1:]
    if b'"market":"a:b"' in body:
        whole = body[:-1] + b"," + rest[1:]
    problem = refusal(whole)
    assert (problem.code, problem.field) == (codes.DUPLICATE_KEY, "price")


@pytest.mark.parametrize("market", ["a:b", ":", "::", '\\":', "ü:ü", "\\u003a"])
def test_colons_and_escapes_in_values_are_no_keys(market: str) -> None:
    body = b'{"market":"%s","side":"buy","type":"limit","quantity":"1","price":null}'
    assert parse_new(body % market.encode()).side == "buy"


@given(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none()),
    st.randoms(use_true_random=False),
)
def test_duplicates_are_found_exactly(content: dict[str, object], source: random.Random) -> None:
    body = json.dumps(content).encode()
    check_duplicate_keys(body)
    if content:
        key = source.choice(list(content))
        doubled = body[:-1] + b"," + json.dumps({key: 1}).encode()[1:]
        with pytest.raises(Problem) as caught:
            check_duplicate_keys(doubled)
        assert caught.value.code is codes.DUPLICATE_KEY


def test_a_duplicate_in_one_item_refuses_that_item_only() -> None:
    good = b'{"action":"cancel","id":"BTC-USDT-1"}'
    bad = b'{"action":"cancel","id":"BTC-USDT-1","id":"BTC-USDT-2"}'
    first, second = parse_batch(b'{"items":[' + good + b"," + bad + b"]}")
    assert not isinstance(first, Problem)
    assert isinstance(second, Problem)
    assert second.code is codes.DUPLICATE_KEY


@pytest.mark.parametrize(
    "body",
    [
        b'{"items":[{"action":"cancel","id":"a-1"}],"items":[{"action":"cancel","id":"b-1"}]}',
        b'{"items":[{"action":"cancel","id":"a-1"}],"it\\u0065ms":[{"action":"x"}]}',
    ],
)
def test_a_duplicate_of_the_items_refuses_the_batch(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_batch(body)
    assert caught.value.code is codes.DUPLICATE_KEY


@pytest.mark.parametrize("count", [0, 501])
def test_a_batch_has_1_to_500_items(count: int) -> None:
    item = {"action": "cancel", "id": "BTC-USDT-1"}
    with pytest.raises(Problem) as caught:
        parse_batch(json.dumps({"items": [item] * count}).encode())
    assert caught.value.code is codes.BATCH_SIZE


def test_each_bad_item_of_a_batch_says_why() -> None:
    items = [
        {"action": "new", **VALID},
        {"action": "new", **VALID, "price": 5},
        {"action": "fly"},
        {},
        7,
        None,
        {"action": "cancel", "id": "BTC-USDT-1", "request_id": None},
    ]
    results = parse_batch(json.dumps({"items": items}).encode())
    seen = [item.code.code if isinstance(item, Problem) else None for item in results]
    assert seen == [
        None,
        "decimal_not_string",
        "invalid_value",
        "missing_field",
        "wrong_type",
        "wrong_type",
        None,
    ]


@pytest.mark.parametrize("body", [b'{"items":{}}', b'{"items":null}', b"{}", b"[]", b'{"x":1}'])
def test_a_body_that_is_no_batch_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Problem) as caught:
        parse_batch(body)
    assert caught.value.status == 422


def test_a_request_encodes_to_the_keys_that_were_given() -> None:
    """What the check for duplicate keys relies on."""
    request = parse_new(json.dumps(VALID).encode())
    assert json.loads(msgspec.json.encode(request)) == VALID
