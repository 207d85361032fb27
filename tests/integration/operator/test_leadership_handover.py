"""Two operators, of which one is active: who leads next, when, and what of the Lease is mended."""

from __future__ import annotations

from typing import Any

from tests.fixtures.operator_pair import (
    LEASE,
    PATIENT,
    STEADY,
    holder,
    lease,
    market,
    requests_of,
    role,
    untidy_lines,
    until_ended,
    until_leads,
    until_waits,
    writes_of,
)
from tests.fixtures.operator_process import OperatorProcess, OperatorSite, until


async def pair(site: OperatorSite, **settings: Any) -> tuple[OperatorProcess, OperatorProcess]:
    """One that leads and one that waits."""
    first = site.start(**settings)
    await until_leads(first)
    second = site.start(**settings)
    await until_waits(second)
    return first, second


async def test_the_one_that_waits_is_ready_writes_nothing_and_follows_a_killed_leader(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    first, second = await pair(site, **STEADY)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    assert second.get("/readyz").status_code == second.get("/healthz").status_code == 200
    assert second.metric("gomatch_operator_leading") == 0
    assert writes_of(site, second) == []
    term = lease(site)["leaseTransitions"]

    first.kill()
    await until_leads(second)

    assert holder(site) == second.name
    assert lease(site)["leaseTransitions"] == term + 1
    assert second.metric("gomatch_operator_leading") == 1
    site.kubectl("delete", "configmap", "btc-usdt-matcher")
    await until(lambda: site.get("configmap", "btc-usdt-matcher"))
    [[recorded]] = await site.sql("SELECT term FROM operator_terms")
    assert recorded == term + 1


async def test_an_orderly_end_lets_the_next_lead_at_once_and_leaves_a_tidy_log(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    first, second = await pair(site, **PATIENT)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")

    first.stop()
    await until_leads(second)

    assert first.exit_code == 0
    assert holder(site) == second.name
    assert untidy_lines(first) == []
    agents = {each.agent for each in requests_of(site, first) if each.is_write}
    assert agents == {"gomatch-operator"}

    def watched() -> set[str]:
        """The API server notes a watch once it has noticed that nobody listens any more."""
        return {each.resource for each in requests_of(site, first) if each.verb == "watch"}

    await until(lambda: watched() >= {"markets", "deployments", "pods", "leases"})
    second.stop()
    assert second.exit_code == 0
    assert lease(site)["holderIdentity"] == ""


async def test_a_lease_that_is_deleted_comes_back_and_the_leader_leads_on(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    first, second = await pair(site, **PATIENT)
    site.apply(market())
    await site.until_condition("btc-usdt", "QueueReady", "True", "InStep")
    term = lease(site)["leaseTransitions"]

    # Both try to make it, whoever is first leads on.
    second.pause()
    site.kubectl("delete", "lease", LEASE)
    await until(lambda: holder(site) == first.name)
    second.resume()

    assert lease(site)["leaseTransitions"] == term
    site.kubectl("patch", "market/btc-usdt", "--type=merge", "-p", '{"spec":{"state":"Halted"}}')
    await site.until_condition("btc-usdt", "Ready", "False", "MatcherNotAvailable")
    await until(lambda: site.market("btc-usdt")["status"]["observedGeneration"] == 2)
    assert first.running
    assert role(second) == "standby"


async def test_a_lease_given_to_another_by_hand_ends_the_leader(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    first, second = await pair(site, **STEADY)
    patch = '{"spec":{"holderIdentity":"nobody/at-all"}}'
    site.kubectl("patch", "lease", LEASE, "--type=merge", "-p", patch)

    assert await until_ended(first) == 1
    assert first.events("leadership_lost")
    await until_leads(second)
    site.apply(market())
    await site.until_condition("btc-usdt", "StoreReady", "True", "InStep")


async def test_a_term_in_postgresql_above_that_of_a_new_lease_is_outlasted(
    operator_site: OperatorSite,
) -> None:
    site = operator_site
    installation = site.settings["installation"]
    await site.sql("INSERT INTO operator_terms (installation, term) VALUES ($1, 41)", installation)
    operator = site.start()
    site.apply(market())
    await site.until_condition("btc-usdt", "StoreReady", "True", "InStep")

    assert lease(site)["leaseTransitions"] == 42
    [[recorded]] = await site.sql("SELECT term FROM operator_terms")
    assert recorded == 42
    assert operator.running
