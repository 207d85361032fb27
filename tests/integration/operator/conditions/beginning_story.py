"""An operator that starts while no server answers, and a database that is not migrated yet."""

from __future__ import annotations

import asyncio
import time

from gomatch_operator import conditions as c
from tests.fixtures.operator_stage import Stage
from tests.fixtures.staged_market import Saying
from tests.integration.operator.conditions.story import Story

_AWAY = Saying(c.STORE_READY, "False", "StoreUnavailable")
_NO_SCHEMA = Saying(c.STORE_READY, "False", "SchemaMismatch", "gomatch migrate")
_NO_BROKER = Saying(c.QUEUE_READY, "False", "BrokerUnavailable")
_NO_CACHE = Saying(c.CACHE_READY, "False", "CacheUnavailable")
_OUTAGES = ("StoreUnavailable", "BrokerUnavailable", "CacheUnavailable")
_ATTEMPTS_A_SECOND = 8
"""At most, to a server that is away, with a sweep each second and a try for each Market."""


async def _tell(stage: Stage) -> None:
    """No operator runs yet."""
    [newest] = await stage.site.sql(
        "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM"
        " schema_migrations) RETURNING version, name, checksum, works_with"
    )
    for proxy in stage.proxies.values():
        proxy.cut()
    began = time.monotonic()
    operator = stage.start()
    markets = [stage.market() for _ in range(3)]
    for market in markets:
        await market.says(_AWAY)
        await market.says(Saying(c.MATCHER_AVAILABLE, "False", "NotStarted"))
    # Without PostgreSQL nobody knows whose mirrors to look at.
    await markets[0].stage_until(lambda: _outages(stage) == set(_OUTAGES[:2]), "two Events")
    for name, proxy in stage.proxies.items():
        assert proxy.refused < _ATTEMPTS_A_SECOND * (time.monotonic() - began), name
    assert operator.get("/readyz").status_code == 200

    stage.proxies["postgres"].restore()
    for market in markets:
        await market.says(_NO_SCHEMA)
    await stage.site.sql("INSERT INTO schema_migrations VALUES ($1, $2, $3, now(), $4)", *newest)
    for market in markets:
        await market.says(Saying(c.STORE_READY, "True", "InStep"))
        await market.says(_NO_BROKER)
        await market.says(_NO_CACHE)
        await market.pod()

    for name in ("management", "redis"):
        stage.proxies[name].restore()
    for market in markets:
        await market.says(Saying(c.QUEUE_READY, "True", "InStep"))
        await market.says(Saying(c.CACHE_READY, "False", "NotStarted"))
    for reason in _OUTAGES:
        told = [event for event in stage.events() if event["reason"] == reason]
        assert len(told) == 1, reason
        assert not any(
            event["reason"] == reason for market in markets for event in stage.events(market.name)
        )
    assert operator.running
    await asyncio.to_thread(operator.stop)


def _outages(stage: Stage) -> set[str]:
    return {event["reason"] for event in stage.events()} & set(_OUTAGES)


BEGINNING = Story(tell=_tell, says=(_AWAY, _NO_SCHEMA, _NO_BROKER, _NO_CACHE))
