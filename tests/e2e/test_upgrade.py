"""From one release to the next and back, while clients send orders all the time."""

from __future__ import annotations

from tests.fixtures.cluster_client import Sent
from tests.fixtures.venue_on_cluster import NAMESPACE, RELEASE, Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_MARKETS = ("BTC-USDT", "ETH-USDT")


def test_an_upgrade_of_everything_loses_no_order(venue: VenueOnCluster, traders: Traders) -> None:
    """Images of another tag, and a changed setting of each program."""
    new = venue.images.now
    epochs = [venue.epoch(market) for market in _MARKETS]

    with traders.client.load("upgrade", traders.tokens, _MARKETS) as sent:
        traders.wait_until_accepted(20)
        venue.install("upgrade", values=venue.values(new, logLevel="warning"))
        wait_until_all_run(venue, new)
        traders.wait_until_accepted(20)

    check_nothing_is_lost(traders, sent)
    for market, epoch in zip(_MARKETS, epochs, strict=True):
        assert venue.epoch(market) > epoch
    settings = venue.object("configmap", "btc-usdt-matcher")["data"]
    assert settings["GOMATCH_LOG_LEVEL"].lower() == "warning"


def test_a_rollback_loses_no_order(venue: VenueOnCluster, traders: Traders) -> None:
    before = venue.images.before

    with traders.client.load("rollback", traders.tokens, _MARKETS) as sent:
        traders.wait_until_accepted(20)
        venue.helm("rollback", RELEASE, "--wait")
        wait_until_all_run(venue, before)
        traders.wait_until_accepted(20)

    check_nothing_is_lost(traders, sent)


def check_nothing_is_lost(traders: Traders, sent: list[Sent]) -> None:
    """Not even a request had to be sent again."""
    (load,) = sent
    assert load.refused == []
    assert load.again == {}
    traders.check_all_are_found(load.accepted)


def wait_until_all_run(venue: VenueOnCluster, tag: str) -> None:
    """API, operator and matchers, and nothing of another release is left."""

    def images() -> set[str]:
        return {
            container["image"].rpartition(":")[2]
            for pod in venue.objects("pods", "app.kubernetes.io/part-of=gomatch")
            for container in pod["spec"]["containers"]
            if container["name"] in venue.images.programs
        }

    wait_for(lambda: images() == {tag}, what=f"only pods of {tag} in {NAMESPACE}", timeout=300)
    venue.wait_until_ready("btc-usdt", "eth-usdt")
    for market in ("btc-usdt", "eth-usdt"):
        wait_for(
            lambda of=market: venue.status(of)["image"].endswith(f":{tag}"),  # type: ignore[misc]
            what=f"the status of {market} has the image of {tag}",
        )
