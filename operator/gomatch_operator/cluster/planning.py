"""What has to be written so that the objects of a Market are as desired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gomatch_operator import names
from gomatch_operator.actions import Action, Verb
from gomatch_operator.cluster.ownership import Standing, foreign_message, standing
from gomatch_operator.cluster.projection import KINDS
from gomatch_operator.cluster.writes import Creation, Removal, Restoration, Write
from gomatch_operator.desired.values import Desired, DesiredObject
from gomatch_operator.watched import ObjectKey, OwnedObject, Settled, Watched


def plan(desired: Desired, observed: Watched) -> list[Action]:
    """While an object of our name is foreign, nothing new is made: a pod could read somebody
    else's configuration. What is being deleted is waited for."""
    blocked = bool(foreign(desired, observed))
    actions = []
    for wanted in desired.objects:
        known = observed.owned.get(wanted.key)
        if known is None:
            if not blocked:
                actions.append(_creation(desired, wanted, wanted.key in observed.vanished))
        elif _standing(known, desired) is Standing.OURS:
            actions += _restoration(wanted, known, observed.settled.get(wanted.key))
    wanted_keys = {wanted.key for wanted in desired.objects}
    actions += [
        _action("delete", known.key, "it is not wanted any more", Removal(known=known))
        for known in _known(desired, observed)
        if known.key not in wanted_keys and _standing(known, desired) is Standing.OURS
    ]
    return actions


def foreign(desired: Desired, observed: Watched) -> Sequence[str]:
    """For each watched object of our name that is somebody else's, what to do about it. One
    without our labels is not watched: making it raises ForeignObject."""
    return [
        foreign_message(known)
        for known in _known(desired, observed)
        if _standing(known, desired) is Standing.FOREIGN
    ]


def _known(desired: Desired, observed: Watched) -> Iterator[OwnedObject]:
    """Of all kinds, desired or not."""
    namespace, market = desired.market
    for kind in KINDS:
        known = observed.owned.get(ObjectKey(kind, namespace, names.matcher_name(market)))
        if known is not None:
            yield known


def _standing(known: OwnedObject, desired: Desired) -> Standing:
    return standing(known, desired.market, desired.uid)


def _creation(desired: Desired, wanted: DesiredObject, vanished: bool) -> Action:
    write = Creation(market=desired.market, market_uid=desired.uid, wanted=wanted)
    why = "it was deleted" if vanished else "it is missing"
    return _action("create", wanted.key, why, write, drift=vanished)


def _restoration(
    wanted: DesiredObject, known: OwnedObject, settled: Settled | None
) -> Iterator[Action]:
    write = Restoration(wanted=wanted, uid=known.uid)
    if known.desired_hash != wanted.hash:
        yield _action("apply", wanted.key, "it shall be another", write)
    elif known.actual_hash not in (wanted.hash, _became(settled, wanted)):
        yield _action("apply", wanted.key, "somebody changed it", write, drift=True)


def _became(settled: Settled | None, wanted: DesiredObject) -> str:
    if settled is None or settled.desired_hash != wanted.hash:
        return wanted.hash
    return settled.actual_hash


def _action(verb: Verb, key: ObjectKey, why: str, write: Write, *, drift: bool = False) -> Action:
    return Action(
        layer="cluster",
        verb=verb,
        kind=key.kind,
        name=key.name,
        why=why,
        drift=drift,
        body=write,
    )
