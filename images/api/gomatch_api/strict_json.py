"""Strict JSON decoding: what msgspec forgives is refused, and every fault becomes a Problem.

msgspec keeps the last of duplicate keys silently. Finding them exactly costs two counts: outside
of strings a JSON text has one colon for each key, so a text without escapes holds more colons than
the decoded value encodes to exactly when a key was given twice. Texts for which the counts differ
(duplicates, explicit nulls, escapes) are walked once with the standard library's parser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from gomatch_api import codes
from gomatch_api.problems import Problem

T = TypeVar("T")

MAXIMUM_DEPTH_DETAIL = "The JSON is nested too deeply."

_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED = re.compile(
    r"^Object (?P<fault>missing required|contains unknown) field `(?P<name>.*)`$", re.DOTALL
)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode ``body``, refusing duplicate keys. Raises Problem; the value must encode with
    omitted defaults (structs with ``omit_defaults`` whose defaults are all None)."""
    try:
        value = decoder.decode(body)
    except msgspec.ValidationError as error:
        check_well_formed(body)
        raise problem_of(error) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from error
    if b"\\" in body or body.count(b":") != _encode(value).count(b":"):
        check_duplicate_keys(body)
    return value


def check_well_formed(body: bytes) -> None:
    """Raises Problem ``malformed_json`` unless ``body`` is one JSON value in UTF-8."""
    try:
        _raw_decoder.decode(body)
        body.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(error) from error


def check_duplicate_keys(body: bytes) -> None:
    """Raises Problem ``duplicate_key`` when any object in ``body`` has a key twice, or
    ``malformed_json``."""
    try:
        json.loads(body, object_pairs_hook=_refuse_duplicates, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from error


def problem_of(error: msgspec.ValidationError) -> Problem:
    """The problem that tells a client what msgspec found."""
    match = _WHERE.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    field = path.lstrip(".")
    named = _NAMED.match(what)
    if named:
        name = _shown(named["name"])
        place = f"{field}.{name}" if field else name
        if named["fault"].startswith("missing"):
            return Problem(codes.MISSING_FIELD, f"`{name}` is required.", field=place)
        return Problem(
            codes.UNKNOWN_FIELD, f"`{name}` is not a field of this request.", field=place
        )
    if what.startswith("Expected `str") and what.endswith(("got `int`", "got `float`")):
        return Problem(
            codes.DECIMAL_NOT_STRING if _is_decimal(field) else codes.WRONG_TYPE,
            f"{what}. Send it as a JSON string.",
            field=field,
        )
    if what.startswith("Number out of range"):
        code = codes.DECIMAL_NOT_STRING if _is_decimal(field) else codes.WRONG_TYPE
        return Problem(code, "The number is out of range.", field=field or None)
    if what.startswith("Expected"):
        return Problem(codes.WRONG_TYPE, f"{what}.", field=field or None)
    return Problem(codes.INVALID_VALUE, f"{_shown(what)}.", field=field or None)


_DECIMALS = ("price", "stop_price", "quantity", "display_quantity")


def _is_decimal(field: str) -> bool:
    return field.rpartition(".")[2] in _DECIMALS


def _shown(text: str) -> str:
    """What a client sent, short and printable, so that it can be shown back."""
    return "".join(c if c.isprintable() else "?" for c in text[:100])


def _malformed(error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(codes.MALFORMED_JSON, MAXIMUM_DEPTH_DETAIL)
    if isinstance(error, UnicodeDecodeError):
        return Problem(codes.MALFORMED_JSON, "The body is not valid UTF-8.")
    return Problem(codes.MALFORMED_JSON, f"{_shown(str(error))}.")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            name = _shown(key)
            raise Problem(codes.DUPLICATE_KEY, f"`{name}` is given twice.", field=name)
        seen.add(key)
