"""What is planned for the objects of a Market, from what the watches know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gomatch_operator import names
from gomatch_operator.cluster import planning
from gomatch_operator.cluster.ownership import Standing, standing
from gomatch_operator.cluster.planning import foreign
from gomatch_operator.desired import Desired, desired
from gomatch_operator.watched import ObjectKey, OwnedObject, Settled, Watched
from tests.fixtures.example_markets import UID, example_market, example_settings

MARKET = example_market()
WANTED = desired(MARKET, example_settings(), image="gomatch-matcher:1")
SERVICE = ObjectKey("Service", "venue", "btc-usdt-matcher")


def plan(observed: Watched, wanted: Desired = WANTED) -> list[tuple[str, str, bool]]:
    planned = planning.plan(wanted, observed)
    return [(action.verb, action.kind, action.drift) for action in planned]


def observed(**service: object) -> Watched:
    """All as desired but the fields of the Service named here."""
    watched = Watched(markets={MARKET.key: MARKET})
    for each in WANTED.objects:
        watched.keep_owned(
            OwnedObject(
                key=each.key,
                market="btc-usdt",
                managed=True,
                uid=f"uid-{each.key.kind}",
                resource_version="10",
                owner_uid=UID,
                owner_name="btc-usdt",
                desired_hash=each.hash,
                actual_hash=each.hash,
            )
        )
    watched.owned[SERVICE] = replace(watched.owned[SERVICE], **service)  # type: ignore[arg-type]
    return watched


def test_nothing_is_planned_when_all_is_as_desired() -> None:
    assert plan(observed()) == []


def test_what_pods_need_is_made_before_them() -> None:
    planned = plan(Watched())

    assert {verb for verb, _, _ in planned} == {"create"}
    assert [kind for _, kind, _ in planned][-1] == "Deployment"
    assert not any(drift for _, _, drift in planned)


def test_what_was_there_and_is_gone_is_a_repair() -> None:
    watched = observed()
    watched.drop_owned(SERVICE, "uid-Service")

    assert plan(watched) == [("create", "Service", True)]


def test_what_was_removed_as_nobody_wants_it_is_no_repair() -> None:
    watched = observed()
    watched.drop_owned(SERVICE, "uid-Service", wanted=False)

    assert plan(watched) == [("create", "Service", False)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"desired_hash": "before"}, [("apply", "Service", False)]),
        ({"actual_hash": "edited"}, [("apply", "Service", True)]),
        ({"owner_uid": "", "owner_name": "", "actual_hash": "x"}, [("apply", "Service", True)]),
        ({"deleting": True, "actual_hash": "edited"}, []),
        ({"owner_uid": "before", "actual_hash": "edited"}, []),
        ({"owner_uid": "theirs", "owner_name": "", "actual_hash": "edited"}, []),
    ],
)
def test_an_object_is_written_when_it_is_ours_and_differs(
    change: dict[str, object], expected: list[tuple[str, str, bool]]
) -> None:
    assert plan(observed(**change)) == expected


def test_what_the_api_server_made_of_a_write_is_not_written_again() -> None:
    watched = observed(actual_hash="by a webhook")
    wanted = next(each.hash for each in WANTED.objects if each.key == SERVICE)
    watched.settled[SERVICE] = Settled(wanted, "by a webhook")

    assert plan(watched) == []

    watched.owned[SERVICE] = replace(watched.owned[SERVICE], actual_hash="by somebody")
    assert plan(watched) == [("apply", "Service", True)]


def test_while_an_object_is_foreign_nothing_new_is_made() -> None:
    watched = observed(owner_uid="theirs", owner_name="")
    deployment = ObjectKey("Deployment", "venue", "btc-usdt-matcher")
    watched.drop_owned(deployment, "uid-Deployment")

    assert plan(watched) == []
    assert [message.partition(" exists")[0] for message in foreign(WANTED, watched)] == [
        "Service venue/btc-usdt-matcher"
    ]


def test_an_object_that_is_no_longer_wanted_is_deleted() -> None:
    off = example_settings().model_copy(
        update={"network": example_settings().network.model_copy(update={"enabled": False})}
    )

    assert plan(observed(), desired(MARKET, off, image="gomatch-matcher:1")) == [
        ("delete", "NetworkPolicy", False)
    ]


def test_an_object_of_the_market_before_is_waited_for() -> None:
    watched = observed(owner_uid="before")

    assert plan(watched) == []
    assert foreign(WANTED, watched) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Standing.OURS),
        ({"deleting": True}, Standing.LEAVING),
        ({"owner_uid": "before"}, Standing.LEAVING),
        ({"owner_uid": "", "owner_name": ""}, Standing.OURS),
        ({"owner_uid": "", "owner_name": "", "desired_hash": ""}, Standing.FOREIGN),
        ({"owner_uid": "", "owner_name": "", "managed": False}, Standing.FOREIGN),
        ({"owner_uid": "", "owner_name": "", "market": "other"}, Standing.FOREIGN),
        ({"owner_uid": "theirs", "owner_name": ""}, Standing.FOREIGN),
        ({"owner_uid": "theirs", "owner_name": "other"}, Standing.FOREIGN),
        ({"managed": False, "market": ""}, Standing.OURS),
    ],
)
def test_whose_an_object_is(change: dict[str, object], expected: Standing) -> None:
    assert standing(observed(**change).owned[SERVICE], MARKET.key, UID) is expected


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    watched = observed(resource_version="12", actual_hash="new")

    watched.keep_owned(replace(watched.owned[SERVICE], resource_version="9", actual_hash="old"))
    assert watched.owned[SERVICE].actual_hash == "new"

    restored = replace(watched.owned[SERVICE], resource_version="3", actual_hash="listed")
    watched.keep_owned(restored, listed=True)
    assert watched.owned[SERVICE].actual_hash == "listed"


def test_the_end_of_an_earlier_object_does_not_hide_the_one_that_is_there() -> None:
    watched = observed()

    watched.drop_owned(SERVICE, "uid of one before")

    assert SERVICE in watched.owned


def test_a_market_that_is_gone_leaves_nothing_behind() -> None:
    watched = observed()
    watched.drop_owned(SERVICE, "uid-Service")
    watched.drop_market(MARKET.key)

    assert watched.vanished == set()
    assert MARKET.key not in watched.markets
    assert names.matcher_name("btc-usdt") == SERVICE.name
