"""Watches that break, fall silent or come too late: what changed meanwhile is noticed, and the
liveness probe fails for deaf watches alone."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fixtures.links import ProxyFactory
from tests.fixtures.operator_pair import PATIENT, market, requests_of, until_leads, writes_of
from tests.fixtures.operator_process import OperatorProcess, OperatorSite, until
from tests.fixtures.proxy import TcpProxy


async def behind_proxy(
    site: OperatorSite, tcp_proxy: ProxyFactory, **settings: Any
) -> tuple[OperatorProcess, TcpProxy]:
    """An operator that leads, with its way to the API server through a proxy, and a Market."""
    proxy = await tcp_proxy(site.plane.apiserver.url)
    operator = site.start(api_server=f"https://127.0.0.1:{proxy.port}", **{**PATIENT, **settings})
    await until_leads(operator)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    await until(lambda: site.get("deployment", "btc-usdt-matcher"))
    return operator, proxy


def uid(site: OperatorSite, kind: str) -> str:
    found = site.get(kind, "btc-usdt-matcher")
    return str(found["metadata"]["uid"]) if found else ""


async def is_made_again(site: OperatorSite, kind: str, before: str) -> None:
    await until(lambda: uid(site, kind) not in ("", before), timeout=90)


async def test_a_dropped_watch_is_taken_up_again(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    operator, proxy = await behind_proxy(site, tcp_proxy)
    for kind in ("deployment", "service"):
        before = uid(site, kind)
        proxy.drop()
        site.kubectl("delete", kind, "btc-usdt-matcher")
        await is_made_again(site, kind, before)
    assert operator.running
    assert operator.events("watch_ended") == []


async def test_what_went_while_the_api_server_was_out_of_reach_is_made_again(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    operator, proxy = await behind_proxy(site, tcp_proxy, canarySeconds=3)
    before = uid(site, "configmap")
    proxy.cut()
    site.kubectl("delete", "configmap", "btc-usdt-matcher")
    # Several looks of the canary go by.
    await until(lambda: len(operator.events("canary_silent")) > 4, timeout=80)
    assert operator.get("/healthz").status_code == 200
    proxy.restore()

    await is_made_again(site, "configmap", before)
    assert operator.running


async def test_a_watch_that_is_too_old_begins_anew_with_a_list(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    operator, proxy = await behind_proxy(site, tcp_proxy)
    before = uid(site, "service")
    proxy.cut()
    site.kubectl("delete", "service", "btc-usdt-matcher")
    _forget_history(site)
    since = site.plane.audit.position()
    proxy.restore()

    await is_made_again(site, "service", before)
    # Another watch may have begun anew before, upon which all kinds are compared.
    await until(
        lambda: any(
            (each.verb, each.resource) == ("list", "services") and each.agent.startswith("kopf")
            for each in requests_of(site, operator, since)
        )
    )
    assert operator.running


async def test_a_restart_of_the_api_server_goes_by(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    operator = site.start(**PATIENT)
    await until_leads(operator)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    before = uid(site, "service")
    await asyncio.to_thread(site.plane.restart_apiserver_now)

    site.kubectl("delete", "service", "btc-usdt-matcher")
    await is_made_again(site, "service", before)
    assert operator.running


async def test_a_silent_watch_is_opened_anew(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    operator, proxy = await behind_proxy(site, tcp_proxy, watchSilenceSeconds=3)
    before = uid(site, "deployment")
    proxy.freeze()
    site.kubectl("delete", "deployment", "btc-usdt-matcher")

    await is_made_again(site, "deployment", before)
    assert operator.get("/healthz").status_code == 200
    assert operator.events("watch_ended") == []


async def test_liveness_fails_when_the_watches_are_deaf_and_the_api_server_answers(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    operator, proxy = await behind_proxy(
        site, tcp_proxy, watchSilenceSeconds=600, canarySeconds=3, requestTimeout=2
    )
    await until(lambda: operator.get("/healthz").status_code == 200)
    proxy.freeze()

    def failing(path: str) -> bool:
        answer = operator.get(path)
        return answer.status_code == 503 and "watches" in answer.json()["problem"]

    # A look of the canary that gets no answer on a frozen connection begins the count anew.
    await until(lambda: failing("/healthz"), timeout=80)
    await until(lambda: failing("/readyz"), timeout=80)


async def test_liveness_does_not_fail_for_an_api_server_that_says_nothing(
    operator_site: OperatorSite, tcp_proxy: ProxyFactory
) -> None:
    site = operator_site
    operator, proxy = await behind_proxy(site, tcp_proxy, canarySeconds=3, requestTimeout=2)
    proxy.stall()
    await until(lambda: len(operator.events("canary_silent")) > 4, timeout=80)
    assert operator.get("/healthz").status_code == 200
    proxy.restore()

    before = uid(site, "service")
    site.kubectl("delete", "service", "btc-usdt-matcher")
    await is_made_again(site, "service", before)
    assert operator.running


async def _slow(site: OperatorSite, proxy: TcpProxy) -> Callable[[], Awaitable[None]]:
    proxy.delay(0.2)

    async def end() -> None:
        proxy.restore()

    return end


async def _no_etcd(site: OperatorSite, proxy: TcpProxy) -> Callable[[], Awaitable[None]]:
    await site.plane.etcd.pause()
    return site.plane.etcd.resume


@pytest.mark.parametrize("trouble", [_slow, _no_etcd], ids=["slow", "failing"])
async def test_trouble_of_the_api_server_passes_without_a_restart(
    operator_site: OperatorSite,
    tcp_proxy: ProxyFactory,
    trouble: Callable[[OperatorSite, TcpProxy], Awaitable[Callable[[], Awaitable[None]]]],
) -> None:
    site = operator_site
    operator, proxy = await behind_proxy(site, tcp_proxy, retryPeriod=5, canarySeconds=3)
    end = await trouble(site, proxy)
    if trouble is _no_etcd:
        await until(lambda: operator.events("canary_silent"), timeout=80)
        assert operator.get("/healthz").status_code == 200
        await end()
    before = uid(site, "service")
    site.kubectl("delete", "service", "btc-usdt-matcher")
    await is_made_again(site, "service", before)
    await end()

    assert operator.running
    await until(lambda: operator.get("/healthz").status_code == 200)
    assert writes_of(site, operator)


def _forget_history(site: OperatorSite) -> None:
    """etcd drops all versions of before, and the API server what it has kept of them."""
    etcd = site.plane.etcd.url

    def call(path: str, body: dict[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(f"{etcd}{path}", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    head = call("/v3/kv/range", {"key": "AA==", "limit": 1})["header"]["revision"]
    call("/v3/kv/compaction", {"revision": head, "physical": True})
    site.plane.restart_apiserver_now()
