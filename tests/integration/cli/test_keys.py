"""`gomatch keys`."""

from __future__ import annotations

from tests.integration.cli.conftest import Venue, wait_for


def test_a_key_works_until_it_is_revoked(venue: Venue) -> None:
    made = venue.run("keys", "create", "--user", "alice", "--label", "desk 3", "--json").json()
    assert (made["user"], made["scopes"], made["label"]) == ("alice", ["read", "trade"], "desk 3")
    with venue.client(made["token"]) as alice:
        assert alice.get("/v1/orders").status_code == 200
        done = venue.run("keys", "revoke", made["key_id"])
        assert (done.code, done.stdout) == (0, f"revoked {made['key_id']}\n")
        wait_for(lambda: alice.get("/v1/orders").status_code == 401)
        assert alice.get("/v1/orders").json()["code"] == "key_revoked"
    listed = {key["key_id"]: key for key in venue.run("keys", "list", "--json").json()}
    assert listed[made["key_id"]]["revoked_at"] > made["created_at"]
    active = venue.run("keys", "list", "--active", "--json").json()
    assert made["key_id"] not in [key["key_id"] for key in active]


def test_the_secret_is_shown_once(venue: Venue) -> None:
    done = venue.run("keys", "create", "--user", "bob", "--scopes", "read", "--rate-limit", "5")
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    token = shown["token"].strip()
    assert token == f"{shown['key'].strip()}.{shown['secret'].strip()}"
    assert "Keep the token now" in done.stderr
    listed = venue.run("keys", "list").stdout
    assert shown["secret"].strip() not in listed
    (row,) = [line.split() for line in listed.splitlines() if shown["key"].strip() in line]
    assert row[1:4] == ["bob", "read", "5.0"]
    with venue.client(token) as bob:
        assert bob.delete("/v1/orders?market=BTC-USDT").json()["code"] == "scope_missing"


def test_revoking_takes_the_whole_token_and_says_what_it_does_not_know(venue: Venue) -> None:
    made = venue.run("keys", "create", "--user", "carol", "--json").json()
    assert venue.run("keys", "revoke", made["token"], "--json").json() == {
        "key_id": made["key_id"],
        "revoked": True,
    }
    venue.run("keys", "revoke", "gk_nobody").refused(1, "there is no key gk_nobody")


def test_what_cannot_be_a_key_is_a_usage_error(venue: Venue) -> None:
    for arguments, word in (
        (("--user", ""), "--user"),
        (("--user", "x" * 65), "--user"),
        (("--user", "a\nb"), "--user"),
        (("--user", "a", "--label", "x" * 65), "--label"),
        (("--user", "a", "--scopes", "read,write"), "--scopes"),
        (("--user", "a", "--scopes", ""), "--scopes"),
        (("--user", "a", "--rate-limit", "-1"), "--rate-limit"),
        ((), "--user"),
    ):
        venue.run("keys", "create", *arguments).refused(2, word)
    venue.run("keys", "create", "--user", "a", GOMATCH_SERVER_KEY="").refused(
        2, "GOMATCH_SERVER_KEY"
    )
