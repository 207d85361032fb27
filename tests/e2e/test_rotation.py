"""A server's password is changed as docs/install.md says, while orders come in all the time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

import pytest

from tests.fixtures.venue_on_cluster import RELEASE, Traders, VenueOnCluster
from tests.fixtures.waiting import wait_for

_MARKETS = ("BTC-USDT", "ETH-USDT")
_READERS = {
    "postgresql": {
        "gomatch-api": "/postgres",
        "gomatch-operator": "/postgres",
        "gomatch-matcher": "/postgres",
        "gomatch-postgresql": "",
    },
    "rabbitmq": {
        "gomatch-api": "/rabbitmq",
        "gomatch-operator": "/rabbitmq",
        "gomatch-matcher": "/rabbitmq",
    },
}
"""The folder below /etc/gomatch/credentials in the pods of each component that uses a server."""


@pytest.mark.parametrize("server", ["postgresql", "rabbitmq"])
def test_a_password_is_changed_under_load(
    venue: VenueOnCluster, traders: Traders, server: str
) -> None:
    """Then every connection is closed, so that all of them have to be made with the new one."""
    password = secrets.token_hex(16)
    change, close = _commands(venue, server, password)

    with traders.client.load(f"rotate-{server}", traders.tokens, _MARKETS) as sent:
        traders.wait_until_accepted(10)
        change()
        patch = json.dumps({"stringData": {"password": password}})
        venue.kubectl("patch", "secret", f"{RELEASE}-{server}", f"--patch={patch}")
        _wait_until_mounted(venue, server, password)
        close()
        traders.wait_until_accepted(10)
        for market in _MARKETS:
            traders.trade(market, price="3000.00")

    (load,) = sent
    assert load.refused == []
    traders.check_all_are_found(load.accepted)
    for condition in ("StoreReady", "QueueReady", "Ready"):
        wait_for(
            lambda of=condition: venue.condition("btc-usdt", of)[0] == "True",  # type: ignore[misc]
            what=f"{condition} is True",
        )


def _commands(
    venue: VenueOnCluster, server: str, password: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """What changes the user's password, and what closes its connections."""
    if server == "postgresql":
        return (
            lambda: venue.sql(f"ALTER ROLE gomatch PASSWORD '{password}'"),
            lambda: venue.sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE usename = 'gomatch' AND pid <> pg_backend_pid()"
            ),
        )
    return (
        lambda: venue.rabbitmqctl("change_password", "gomatch", password),
        lambda: venue.rabbitmqctl("close_all_connections", "--global", "rotated"),
    )


def _wait_until_mounted(venue: VenueOnCluster, server: str, password: str) -> None:
    """A change of the pod makes kubelet look at once, instead of within a minute or two."""
    for reader, folder in _READERS[server].items():
        for pod in venue.objects("pods", f"app.kubernetes.io/name={reader}"):
            name = pod["metadata"]["name"]
            venue.kubectl("annotate", "--overwrite", "pod", name, f"rotated={server}")
            file = f"/etc/gomatch/credentials{folder}/password"
            show = ("python", "-c", f"print(open('{file}').read())") if folder else ("cat", file)
            wait_for(
                lambda name=name, show=show: (  # type: ignore[misc]
                    venue.kubectl("exec", name, "--", *show).strip() == password
                ),
                what=f"{name} has the new password of {server}",
                timeout=180,
            )
