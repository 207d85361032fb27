"""Decimal strings to integers and back, exactly. No float ever touches a price."""

from __future__ import annotations

import re
from fractions import Fraction

DIGITS_AFTER = 9
SCALE: int = 10**DIGITS_AFTER
"""A decimal is held as an integer count of 1e-9."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,9}))?", re.ASCII)


class DecimalError(ValueError):
    """The text is not a plain decimal of at most 15 digits before and 9 after the point."""


class NotAMultiple(DecimalError):
    """The value is a decimal but no whole number of the unit."""


def parse_decimal(text: str) -> int:
    """Return the value in 1e-9. Only ASCII digits and one point: no sign, exponent or space.

    Raises DecimalError.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise DecimalError("not a plain decimal number")
    whole, fraction = match.groups()
    if fraction is None:
        return int(f"{whole}{'0' * DIGITS_AFTER}")
    return int(whole + fraction.ljust(DIGITS_AFTER, "0"))


def parse_signed_decimal(text: str) -> int:
    """As parse_decimal with an optional minus sign, for fees."""
    return -parse_decimal(text[1:]) if text.startswith("-") else parse_decimal(text)


def parse_units(text: str, unit: int) -> int:
    """Return ``text`` as a whole number of ``unit`` (itself in 1e-9): ticks or lots.

    Raises DecimalError, or NotAMultiple when it is off tick or off lot.
    """
    units, rest = divmod(parse_decimal(text), unit)
    if rest:
        raise NotAMultiple("not a multiple of the unit")
    return units


def format_decimal(value: int) -> str:
    """The shortest plain decimal of ``value`` (in 1e-9)."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(value, SCALE)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:09d}".rstrip("0")


def format_product(count: int, unit_a: int, unit_b: int) -> str:
    """``count`` of unit_a * unit_b (each in 1e-9) as an exact decimal of up to 18 places."""
    value = count * unit_a * unit_b
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(value, SCALE * SCALE)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:018d}".rstrip("0")


def format_ratio(numerator: int, denominator: int, unit: int) -> str:
    """numerator / denominator counts of ``unit`` (in 1e-9), rounded half even to 1e-9."""
    return format_decimal(round(Fraction(numerator * unit, denominator)))
