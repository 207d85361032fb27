"""Bodies of the Actions of the cluster layer."""

from __future__ import annotations

from dataclasses import dataclass

from gomatch_operator.desired.values import DesiredObject
from gomatch_operator.market import MarketKey
from gomatch_operator.watched import OwnedObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    market: MarketKey
    market_uid: str
    wanted: DesiredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    wanted: DesiredObject
    uid: str
    """Of the object that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    known: OwnedObject


Write = Creation | Restoration | Removal
