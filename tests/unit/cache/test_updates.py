"""How an update becomes calls."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from gomatch.cache.encoding import (
    META_FIELDS,
    decode_book,
    decode_levels,
    decode_meta,
    decode_orders,
)
from gomatch.cache.keys import MarketKeys, book_member, parse_book_member
from gomatch.cache.updates import calls
from gomatch.cache.values import MirrorUpdate
from gomatch.engine import Side
from gomatch.errors import CacheStale
from tests.unit.cache.books import all_cancelled, image_of_size, nothing_after


def parts(update: MirrorUpdate, at_once: int) -> list[tuple[str, list[list[object]]]]:
    found: list[tuple[str, list[list[object]]]] = []
    for call in calls(update, at_once=at_once):
        name, packed = call[-2:]
        assert isinstance(packed, bytes)
        found.append((str(name), msgspec.msgpack.decode(packed)))
    return found


def test_a_batch_is_one_call() -> None:
    update = all_cancelled(image_of_size(50))

    assert [name for name, _ in parts(update, 5_000)] == ["only"]


def test_an_update_of_nothing_is_one_call() -> None:
    assert [name for name, _ in parts(nothing_after(1), 5_000)] == ["only"]


def test_a_large_update_goes_in_bounded_calls_that_lose_nothing() -> None:
    image = image_of_size(1_000)
    update = all_cancelled(image)

    split = parts(update, 300)

    assert [name for name, _ in split] == ["first", *["middle"] * (len(split) - 2), "last"]
    assert all(sum(len(group) for group in groups) <= 300 for _, groups in split)
    whole = parts(update, 1_000_000)[0][1]
    joined = [[item for _, groups in split for item in groups[i]] for i in range(len(whole))]
    assert joined == whole


def test_of_a_large_update_what_is_removed_comes_before_what_is_set() -> None:
    image = image_of_size(1_000)
    update = replace(nothing_after(1), book_removed=image.book, book_set=image.book)

    kinds = [[i for i, group in enumerate(groups) if group] for _, groups in parts(update, 300)]

    assert kinds.index([4, 5]) > max(i for i, kind in enumerate(kinds) if kind == [0, 1])


@pytest.mark.parametrize("priority", [1, 999_999, (1 << 53) - 1])
def test_members_sort_by_priority(priority: int) -> None:
    member = book_member(priority, 17)

    assert book_member(priority, 9) > book_member(priority - 1, 10)
    assert parse_book_member(member.encode()) == (priority, 17)


@pytest.mark.parametrize(
    "member", [b"", b"17", b"0000000000000001:", b"0000000000000001:x", b"1:2"]
)
def test_members_of_somebody_else_are_noticed(member: bytes) -> None:
    with pytest.raises(CacheStale):
        parse_book_member(member)


def test_keys_carry_the_hash_tag() -> None:
    assert MarketKeys.of("BTC-USDT").all() == (
        "gomatch:{BTC-USDT}:meta",
        "gomatch:{BTC-USDT}:orders",
        "gomatch:{BTC-USDT}:bids",
        "gomatch:{BTC-USDT}:asks",
        "gomatch:{BTC-USDT}:depth",
    )


def test_meta_that_is_incomplete_or_unreadable_is_stale() -> None:
    good = [b"1", b"2", b"3", b"00" * 32, b"4", b"1", b"5", b"0", b"0", b"0", b"0", None]

    meta = decode_meta(good)
    assert meta is not None
    assert (meta.epoch, meta.sequence, meta.applied, meta.last_price) == (2, 3, 4, 5)
    assert decode_meta([None] * len(META_FIELDS)) is None
    for index in range(len(good) - 1):
        for wrong in (None, b"\xff"):
            with pytest.raises(CacheStale):
                decode_meta([*good[:index], wrong, *good[index + 1 :]])


def test_contents_that_are_no_numbers_are_stale() -> None:
    with pytest.raises(CacheStale):
        decode_orders({b"x": b""})
    with pytest.raises(CacheStale):
        decode_levels(Side.BUY, {b"b1": b"x"})
    with pytest.raises(CacheStale):
        decode_book(Side.BUY, [b"planted", b"1"])
