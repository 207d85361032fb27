"""What a message must be to be taken for a batch."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from gomatch.errors import CodecError
from gomatch.transport import prometheus_hooks
from gomatch.transport.wire import CONTENT_TYPE, decode, headers_of
from tests.fixtures.batches import make_batch

MARKET = "BTC-USDT"


def test_a_batch_comes_back_as_it_was() -> None:
    for batch in (make_batch(MARKET, 1), make_batch(MARKET, 7, 100, trace="00-ab-cd-01")):
        headers = headers_of(batch)
        assert (
            decode(MARKET, body=batch.bodies, headers=headers, content_type=CONTENT_TYPE) == batch
        )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"market": None}, "header market is None"),
        ({"market": "ETH-USDT"}, "market 'ETH-USDT' is not BTC-USDT"),
        ({"first": 0}, "header first is 0"),
        ({"first": 9, "last": 8}, "header first is 9 and last 8"),
        ({"first": 1.0}, "header first is 1.0"),
        ({"last": 1 << 63}, "header last is out of range"),
        ({"accepted_at": b"1"}, "header accepted_at"),
        ({"accepted_at": False}, "header accepted_at is False"),
        ({"trace": 1}, "header trace is 1"),
        ({"last": 3}, "2 commands under numbers 1 to 3"),
    ],
)
def test_a_wrong_header_is_named(change: dict[str, Any], reason: str) -> None:
    batch = make_batch(MARKET, 1, 2)
    headers = {**headers_of(batch), **change}
    with pytest.raises(CodecError) as caught:
        decode(MARKET, body=batch.bodies, headers=headers, content_type=CONTENT_TYPE)
    assert reason in str(caught.value)


@given(body=st.binary(max_size=200))
def test_any_bytes_are_a_batch_or_a_codec_error(body: bytes) -> None:
    headers = headers_of(make_batch(MARKET, 1))
    try:
        decode(MARKET, body=body, headers=headers, content_type=CONTENT_TYPE)
    except CodecError:
        return


def test_what_garbage_says_makes_no_new_time_series() -> None:
    registry = CollectorRegistry()
    hooks = prometheus_hooks(registry)
    for number in range(50):
        hooks.dead_lettered(MARKET, f"header first is {number}, not an integer")
        hooks.dead_lettered(MARKET, f"{number} bytes are more than 5")
        hooks.dead_lettered(MARKET, f"nobody knows what, {number}")
    hooks.published(MARKET, 0.01)
    hooks.publish_failed(MARKET, "timeout")
    hooks.reconnected()
    hooks.connect_failed()
    hooks.redeclared(MARKET)
    text = generate_latest(registry).decode()
    kinds = re.findall(r'gomatch_transport_dead_letters_total\{.*reason="(.+)"\}', text)
    assert sorted(kinds) == ["header", "other", "size"]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("9000000 bytes are more than 8388608", "size"),
        ("3 commands under numbers 1 to 2", "count"),
        ("its commands are not those that were accepted", "commands"),
        ("its numbers were never accepted", "numbers"),
    ],
)
def test_what_is_put_aside_is_counted_by_its_kind(reason: str, kind: str) -> None:
    registry = CollectorRegistry()
    prometheus_hooks(registry).dead_lettered(MARKET, reason)
    labels = {"market": MARKET, "reason": kind}
    assert registry.get_sample_value("gomatch_transport_dead_letters_total", labels) == 1
