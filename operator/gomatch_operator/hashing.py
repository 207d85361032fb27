"""Hashes of values that JSON can say: the same for equal values, whatever their order of keys."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder(order="sorted")


def content_hash(value: Any) -> str:
    """32 hex digits: fit for a label, an annotation or a log line."""
    return hashlib.sha256(_ENCODER.encode(value)).hexdigest()[:32]
