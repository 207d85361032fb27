"""Which Markets a sweep has looked at, when it comes again, and what it tells of all at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from gomatch.errors import CredentialsRefused, Fenced, SchemaMismatch, StoreUnavailable
from gomatch.store import ClaimedMarket
from gomatch_operator.cluster.api import Body, ClusterApi
from gomatch_operator.deletion import DeletionParts
from gomatch_operator.errors import BrokerUnavailable, LeadershipLost, MirrorUnavailable
from gomatch_operator.events import Events
from gomatch_operator.market import Market, MarketKey, read_market
from gomatch_operator.memory import Memories
from gomatch_operator.metrics import OperatorMetrics
from gomatch_operator.outages import Fault, Outages
from gomatch_operator.rollouts import Rollouts
from gomatch_operator.sweep import Sweep, SweepParts
from gomatch_operator.watched import Watched
from gomatch_operator.work import KeyedQueue
from tests.fixtures.example_facts import OWNER, example_row
from tests.fixtures.example_markets import PLAIN_SPEC, example_settings, market_body

KEY = MarketKey("venue", "btc-usdt")
SEEN = example_row()


class Api(ClusterApi):
    def __init__(self) -> None:
        self.events: list[str] = []

    async def create_event(self, namespace: str, body: Body) -> None:
        self.events.append(body["reason"])


class Crd:
    fault: Fault | None = None
    changed = False

    async def look(self) -> bool:
        changed, self.changed = self.changed, False
        return changed


class Place:
    """Three servers, each of which answers as the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.leads = True
        self.term = 1
        self.rows: list[ClaimedMarket] = [SEEN]
        self.fault: dict[str, Exception] = {}
        self.asked_for: list[str] = []
        self.mirrors_of: list[str] = []
        self.behind: set[str] = set()
        self.due: float | None = None
        self.differing: set[str] = set()
        self.shared_fault: Fault | None = None
        self.restored: tuple[tuple[str, str], ...] = ()
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens while the broker is looked at."""
        self.crd = Crd()
        self.api = Api()
        self.watched = Watched()
        self.work = KeyedQueue(limit=100)
        self.outages = Outages(limit=10, clock=lambda: self.now)
        self.memories = Memories(installation="test")
        parts = {
            "settings": example_settings(),
            "watched": self.watched,
            "work": self.work,
            "source": self,
            "queue": _Queue(self),
            "mirror": _Mirror(self),
            "rollouts": Rollouts(target="a", max_concurrent=1, deadline=300, wake=lambda _: None),
            "memories": self.memories,
            "outages": self.outages,
            "events": Events(self.api, instance="a", namespace="venue", lease="operator"),
            "leadership": self,
            "metrics": OperatorMetrics(CollectorRegistry()),
            "crd": self.crd,
        }
        self.sweep = Sweep(SweepParts(**cast("Any", parts), deletion=self._deletion(parts)))
        self.market()

    def _deletion(self, parts: dict[str, Any]) -> DeletionParts:
        names = ("settings", "watched", "source", "queue", "mirror", "events", "outages")
        given = {name: parts[name] for name in names}
        return DeletionParts(
            **given, api=self.api, cluster=cast("Any", None), leadership=cast("Any", self)
        )

    def require(self) -> None:
        if not self.leads:
            raise LeadershipLost("another holds the Lease")

    def market(self, name: str = "btc-usdt", symbol: str = "BTC-USDT", **changes: Any) -> Market:
        """One that was reconciled with the row as it is, unless ``status`` says otherwise."""
        status = {
            "claim": {"installation": "test"},
            "observedGeneration": 1,
            "lastSequence": SEEN.sequence,
            "queue": {"depth": 0, "consumers": 1},
        }
        uid = OWNER.uid if name == OWNER.name else f"uid of {name}"
        body = market_body({**PLAIN_SPEC, "symbol": symbol}, name=name, uid=uid)
        body["metadata"] |= changes.pop("metadata", {})
        market = read_market({**body, "status": changes.get("status", status)})
        self.watched.markets[market.key] = market
        self.memories.seen(market, SEEN)
        return market

    async def once(self) -> list[str]:
        """Names of the Markets that are looked at."""
        await self.sweep.once()
        names = []
        while self.work.length:
            key = await self.work.take()
            names.append(key.name)
            self.work.done(key)
        return names

    # ClaimsSource and Claims
    async def claims(self) -> Place:
        self._fail("PostgreSQL")
        return self

    async def observe(
        self, installation: str, *, symbols: Sequence[str] = ()
    ) -> list[ClaimedMarket]:
        self.asked_for = list(symbols)
        return self.rows

    async def leftovers(self, installation: str) -> list[object]:
        return []

    def _fail(self, server: str) -> None:
        if server in self.fault:
            raise self.fault[server]


class _Queue:
    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def shared_fault(self) -> Fault | None:
        return self._place.shared_fault

    async def refresh(self) -> tuple[tuple[str, str], ...]:
        self._place.meanwhile()
        self._place._fail("RabbitMQ")
        return self._place.restored

    def differs(self, symbol: str, max_length: int) -> bool:
        return symbol in self._place.differing

    def figures(self, symbol: str) -> tuple[int, int]:
        return 0, 1


class _Mirror:
    def __init__(self, place: Place) -> None:
        self._place = place

    async def look(self, rows: Sequence[ClaimedMarket]) -> set[str]:
        self._place._fail("Redis")
        self._place.mirrors_of = [row.symbol for row in rows]
        return self._place.behind

    def next_look(self, rows: Sequence[ClaimedMarket]) -> float | None:
        return self._place.due


@pytest.fixture
def place() -> Place:
    return Place()


async def test_nobody_is_looked_at_while_nothing_differs(place: Place) -> None:
    assert await place.once() == []
    assert place.api.events == []


@pytest.mark.parametrize(
    "changes",
    [
        {"resume": "once"},
        {"requested_state": None},
        {"held": False},
        {"epoch": 4},
        {"lease_holder": "another/1"},
        {"sequence": 99},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_a_market_whose_row_is_another_is_looked_at(
    place: Place, changes: dict[str, Any]
) -> None:
    place.rows = [example_row(**changes)]

    assert await place.once() == ["btc-usdt"]


async def test_a_change_that_the_queue_had_no_room_for_is_looked_at(place: Place) -> None:
    place.market(metadata={"generation": 2})

    assert await place.once() == ["btc-usdt"]


async def test_a_market_whose_row_is_gone_is_looked_at(place: Place) -> None:
    place.rows = []

    assert await place.once() == ["btc-usdt"]


async def test_a_symbol_that_another_has_is_asked_for_until_that_one_lets_go(
    place: Place,
) -> None:
    waiting = place.market("waiting", "ETH-USDT", status={"observedGeneration": 1})
    strange = example_row(
        symbol="ETH-USDT", owner=replace(OWNER, installation="another"), held=True
    )
    place.memories.seen(waiting, strange)
    place.rows = [SEEN, strange]
    assert await place.once() == []
    assert place.asked_for == ["ETH-USDT"]

    place.rows = [SEEN, replace(strange, held=False)]
    assert await place.once() == ["waiting"]


async def test_a_queue_or_mirror_that_differs_has_its_market_looked_at(place: Place) -> None:
    place.differing = {"BTC-USDT"}
    assert await place.once() == ["btc-usdt"]
    place.differing, place.behind = set(), {"BTC-USDT"}
    assert await place.once() == ["btc-usdt"]


async def test_only_mirrors_of_markets_that_are_served_are_looked_at(place: Place) -> None:
    place.market("going", "C-D", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    place.rows = [
        SEEN,
        example_row(symbol="A-B", held=False),
        example_row(symbol="C-D"),
        example_row(symbol="ABANDONED-D"),
    ]
    await place.once()

    assert place.mirrors_of == ["BTC-USDT"]


async def test_a_mirror_whose_market_goes_during_a_sweep_is_not_looked_at(place: Place) -> None:
    """It may be the next Market's by then: what is found would be told of that one."""
    await place.once()
    assert place.mirrors_of == ["BTC-USDT"]
    place.meanwhile = lambda: place.market(metadata={"uid": "of the next"})
    await place.once()

    assert place.mirrors_of == []


async def test_a_mirror_is_not_compared_with_what_an_earlier_sweep_has_read(place: Place) -> None:
    """It has moved on since: it would seem to be behind, and not to move."""
    await place.once()
    place.mirrors_of.clear()
    place.fault["PostgreSQL"] = StoreUnavailable("away")
    place.meanwhile = lambda: place.outages.worked("PostgreSQL")
    await place.once()

    assert place.mirrors_of == []
    assert not place.outages.suspected("PostgreSQL")


def wait_of(place: Place) -> float:
    return place.sweep._pause()


async def test_it_comes_again_sooner_while_a_mirror_is_due(place: Place) -> None:
    await place.once()
    assert wait_of(place) == 30.0
    place.due = 3.0
    assert wait_of(place) == 3.0
    place.due = 0.0
    assert wait_of(place) == 0.5


@pytest.mark.parametrize(
    ("server", "fault"),
    [
        ("PostgreSQL", StoreUnavailable("away")),
        ("RabbitMQ", BrokerUnavailable("away")),
        ("Redis", MirrorUnavailable("away")),
    ],
    ids=["PostgreSQL", "RabbitMQ", "Redis"],
)
async def test_a_server_that_seems_away_is_asked_often_and_never_without_a_pause(
    place: Place, server: Any, fault: Exception
) -> None:
    place.outages.failed(server, Fault("Unavailable", str(fault)))
    place.fault[server] = fault
    place.due = 0.0
    await place.once()

    assert wait_of(place) == 2.0


async def test_an_outage_is_one_event_and_a_look_at_each_market(place: Place) -> None:
    place.market("other", "ETH-USDT")
    place.rows = [SEEN, example_row(symbol="ETH-USDT")]
    place.fault["PostgreSQL"] = StoreUnavailable("away")
    assert await place.once() == []
    place.now = 10.0
    assert await place.once() == ["btc-usdt", "other"]
    assert await place.once() == []
    assert place.api.events == ["StoreUnavailable"]

    place.fault.clear()
    await place.once()
    assert await place.once() == []
    assert place.api.events == ["StoreUnavailable", "ServerBack"]


@pytest.mark.parametrize("server", ["PostgreSQL", "RabbitMQ", "Redis"])
async def test_an_outage_that_is_over_before_a_sweep_has_seen_it_is_a_look_at_each_market(
    place: Place, server: Any
) -> None:
    """Whoever looked at a Market meanwhile has written that the server is away."""
    place.outages.failed(server, Fault("Unavailable", "away"))
    place.now = 11.0
    place.outages.failed(server, Fault("Unavailable", "away"))
    assert place.outages.outage(server)
    place.outages.worked(server)

    assert await place.once() == ["btc-usdt"]
    assert place.api.events == ["ServerBack"]
    assert await place.once() == []


async def test_an_outage_that_goes_on_for_another_reason_is_told_anew_once_that_lasts(
    place: Place,
) -> None:
    def fails(reason: str) -> None:
        fault = CredentialsRefused if reason == "CredentialsRefused" else StoreUnavailable
        place.fault["PostgreSQL"] = fault("-")

    fails("StoreUnavailable")
    await place.once()
    place.now = 10.0
    assert await place.once() == ["btc-usdt"]
    for reason in ("CredentialsRefused", "StoreUnavailable", "CredentialsRefused"):
        fails(reason)
        assert await place.once() == []

    assert await place.once() == ["btc-usdt"]
    assert await place.once() == []
    assert place.api.events == ["StoreUnavailable", "CredentialsRefused"]


async def test_a_market_that_says_that_redis_is_away_is_looked_at_when_it_answers(
    place: Place,
) -> None:
    """Redis failed once more, for no outage's time, when all were looked at after the last."""
    away = {"type": "CacheReady", "status": "False", "reason": "CacheUnavailable"}
    known = place.watched.markets[KEY].status
    place.market(status={**known, "conditions": [away]})
    place.fault["Redis"] = MirrorUnavailable("away")
    assert await place.once() == []

    place.fault.clear()
    assert await place.once() == ["btc-usdt"]
    well = {"type": "CacheReady", "status": "True", "reason": "InStep"}
    place.market(status={**known, "conditions": [well]})
    assert await place.once() == []


async def test_an_exchange_that_is_foreign_is_one_event_and_a_look_at_each_market(
    place: Place,
) -> None:
    place.shared_fault = Fault("ForeignExchange", "-")
    assert await place.once() == ["btc-usdt"]
    assert await place.once() == []
    place.shared_fault = None
    assert await place.once() == ["btc-usdt"]

    assert place.api.events == ["ForeignExchange", "ExchangesBack"]


async def test_an_old_crd_is_known_before_the_first_reconcile(place: Place) -> None:
    place.crd.fault, place.crd.changed = Fault("CrdTooOld", "-"), True
    await place.sweep.begin()

    assert place.api.events == ["CrdTooOld"]
    assert place.work.length == 1


async def test_a_schema_that_does_not_fit_is_no_outage_and_ends_no_sweep(place: Place) -> None:
    place.fault["PostgreSQL"] = SchemaMismatch("newer")
    place.differing = {"BTC-USDT"}

    assert await place.once() == ["btc-usdt"]
    assert not place.outages.suspected("PostgreSQL")


async def test_who_leads_no_more_sweeps_no_more(place: Place) -> None:
    place.fault["PostgreSQL"] = Fenced("later")
    with pytest.raises(Fenced):
        await place.once()
    place.leads = False
    with pytest.raises(LeadershipLost):
        await place.once()
