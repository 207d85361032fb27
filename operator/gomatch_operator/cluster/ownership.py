"""Whose an object of our name is. Only what is ours is ever written or deleted."""

from __future__ import annotations

from enum import Enum, auto

from gomatch_operator.market import MarketKey
from gomatch_operator.watched import OwnedObject


class Standing(Enum):
    OURS = auto()
    LEAVING = auto()
    """It was made for this Market or one of its name before, and is being deleted."""
    FOREIGN = auto()


def standing(owned: OwnedObject, market: MarketKey, uid: str) -> Standing:
    """``uid`` is that of the Market ``market``.

    An object without any owner is ours when the operator has written it: the owner reference was
    removed by hand, or by a deletion of the Market before that orphans.
    """
    if owned.owner_uid == uid:
        return Standing.LEAVING if owned.deleting else Standing.OURS
    written_by_us = owned.managed and owned.desired_hash and owned.market == market.name
    if not written_by_us:
        return Standing.FOREIGN
    if owned.owner_name == market.name:
        return Standing.LEAVING
    if not owned.owner_uid:
        return Standing.LEAVING if owned.deleting else Standing.OURS
    return Standing.FOREIGN


def foreign_message(owned: OwnedObject) -> str:
    kind, namespace, name = owned.key
    return (
        f"{kind} {namespace}/{name} exists and belongs to somebody else. "
        "Rename or delete it, or give the Market another name"
    )
