import asyncio
import time
from typing import Any

import pytest

from gomatch.errors import ConfigurationError, StoreUnavailable
from gomatch.messages import credentials
from gomatch.store.records import ApiKeyRecord
from gomatch_api import codes
from gomatch_api.auth import KeyRing, Principal
from gomatch_api.auth.rate_limit import TokenBucket
from gomatch_api.codes import ProblemCode
from gomatch_api.database import DatabaseHealth
from gomatch_api.problems import Problem
from tests.unit.api.doubles import FakeKeys, FakeMarkets

SERVER_KEY = bytes(range(32))


def key(key_id: str = "gk_a", **changes: Any) -> ApiKeyRecord:
    fields: dict[str, Any] = {
        "key_id": key_id,
        "user_id": 7,
        "user_name": "alice",
        "scopes": frozenset(("read",)),
        "label": "",
        "rate_limit": None,
        "created_at": 5,
        "revoked_at": None,
    }
    return ApiKeyRecord(**{**fields, **changes})


def token(key_id: str = "gk_a") -> str:
    return credentials.token(key_id, credentials.derive_secret(SERVER_KEY, key_id))


async def ring(store: FakeKeys) -> KeyRing:
    made = KeyRing(
        store,
        DatabaseHealth(FakeMarkets().heads),
        server_key=SERVER_KEY,
        rate_limit=0,
        rate_burst=2,
        refresh_seconds=0.01,
    )
    await made.refresh()
    return made


def signed(
    body: bytes = b"{}",
    *,
    method: str = "POST",
    target: str = "/v1/orders?wait=result",
    key_id: str = "gk_a",
    offset_ms: int = 0,
) -> dict[str, str]:
    stamp = time.time_ns() // 1_000_000 + offset_ms
    secret = credentials.derive_secret(SERVER_KEY, key_id)
    signature = credentials.sign(
        secret, timestamp_ms=stamp, method=method, target=target, body=body
    )
    return {
        "x-gomatch-key": key_id,
        "x-gomatch-timestamp": str(stamp),
        "x-gomatch-signature": signature,
    }


def refusal(keys: KeyRing, headers: dict[str, str], **request: Any) -> ProblemCode:
    with pytest.raises(Problem) as caught:
        keys.authenticate(headers, **request)
    return caught.value.code


async def test_a_token_tells_who_calls() -> None:
    keys = await ring(FakeKeys(key()))
    caller = keys.authenticate({"authorization": f"Bearer {token()}"})
    assert (caller.user_id, caller.user_name, caller.scopes) == (7, "alice", frozenset(("read",)))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer gk_a",
        "Bearer gk_a.",
        "Bearer .secret",
        "Bearer gk_a.wrong",
        "Bearer gk_b.wrong",
        "Bearer gk_\xe4.wrong",
        "Basic Z2tfYTp4",
        f"bearer {token()}x",
    ],
)
async def test_other_tokens_are_refused(header: str) -> None:
    keys = await ring(FakeKeys(key()))
    assert refusal(keys, {"authorization": header}) is codes.UNAUTHENTICATED
    assert refusal(keys, {}) is codes.UNAUTHENTICATED


async def test_a_signature_covers_everything_that_matters() -> None:
    keys = await ring(FakeKeys(key()))
    right: dict[str, Any] = {
        "method": "POST",
        "target": "/v1/orders?wait=result",
        "body": b"{}",
    }
    assert keys.authenticate(signed(), **right).user_id == 7
    for change in ({"method": "PUT"}, {"target": "/v1/orders"}, {"body": b"{ }"}):
        assert refusal(keys, signed(), **{**right, **change}) is codes.SIGNATURE_INVALID
    other = {**signed(), "x-gomatch-timestamp": str(time.time_ns() // 1_000_000 + 1)}
    assert refusal(keys, other, **right) is codes.SIGNATURE_INVALID


@pytest.mark.parametrize("offset", [-6_000, 6_000])
async def test_a_signature_is_good_for_five_seconds(
    offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now)
    keys = await ring(FakeKeys(key()))
    request: dict[str, Any] = {"method": "POST", "target": "/v1/orders?wait=result", "body": b"{}"}
    assert refusal(keys, signed(offset_ms=offset), **request) is codes.TIMESTAMP_EXPIRED


@pytest.mark.parametrize("stamp", ["", "now", "-5", "1" * 16, "\u0661"])
async def test_a_timestamp_is_a_number(stamp: str) -> None:
    keys = await ring(FakeKeys(key()))
    headers = {**signed(), "x-gomatch-timestamp": stamp}
    assert refusal(keys, headers) is codes.TIMESTAMP_EXPIRED


async def test_half_a_signature_is_none() -> None:
    keys = await ring(FakeKeys(key()))
    for missing in ("x-gomatch-timestamp", "x-gomatch-signature"):
        headers = {name: value for name, value in signed().items() if name != missing}
        assert refusal(keys, headers) is codes.UNAUTHENTICATED


async def test_a_revoked_key_is_refused_and_told_to_those_who_asked() -> None:
    store = FakeKeys(key(), key("gk_b"))
    keys = await ring(store)
    told: list[Principal] = []
    silent: list[Principal] = []
    keys.on_revoke(told.append)
    stop = keys.on_revoke(silent.append)
    stop()
    caller = keys.authenticate_token(token())
    store.records[0] = key(revoked_at=9)
    await keys.refresh()
    await keys.refresh()
    assert refusal(keys, {"authorization": f"Bearer {token()}"}) is codes.KEY_REVOKED
    assert refusal(keys, signed(), method="POST", target="/v1/orders?wait=result", body=b"{}") is (
        codes.KEY_REVOKED
    )
    assert told == [caller]
    assert caller.revoked
    assert silent == []
    assert keys.authenticate_token(token("gk_b")).key_id == "gk_b"


async def test_a_new_key_works_at_once() -> None:
    store = FakeKeys()
    keys = await ring(store)
    store.records.append(key())
    assert (await keys.identify_token(token())).user_id == 7
    assert (await keys.identify({"authorization": f"Bearer {token()}"})).user_id == 7


async def test_only_a_genuine_token_leads_to_a_query() -> None:
    store = FakeKeys()
    keys = await ring(store)
    before = store.questions
    for bad in ("gk_x.wrong", "gk_x.", "x"):
        with pytest.raises(Problem):
            await keys.identify_token(bad)
    assert store.questions == before


async def test_a_slow_answer_does_not_bring_a_revoked_key_back() -> None:
    store = FakeKeys(key())
    keys = await ring(store)
    running = asyncio.create_task(keys.run())
    told: list[Principal] = []
    keys.on_revoke(told.append)

    async def revoked_meanwhile() -> None:
        store.records[0] = key(revoked_at=9)
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0.001)

    store.between = revoked_meanwhile
    await keys.refresh()
    assert refusal(keys, {"authorization": f"Bearer {token()}"}) is codes.KEY_REVOKED
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_key_made_during_a_slow_read_stays_good() -> None:
    store = FakeKeys(key())
    keys = await ring(store)

    async def made_meanwhile() -> None:
        if len(store.records) == 1:
            store.records.append(key("gk_b"))
            await keys.identify_token(token("gk_b"))

    store.between = made_meanwhile
    await keys.refresh()
    assert keys.authenticate_token(token("gk_b")).key_id == "gk_b"


async def test_many_keys_are_read_in_small_parts() -> None:
    store = FakeKeys(*(key(f"gk_{n:05}") for n in range(2_500)))
    keys = await ring(store)
    assert store.largest_answer == 1_000
    for number in (0, 999, 1_000, 2_499):
        assert keys.authenticate_token(token(f"gk_{number:05}")).user_id == 7


async def test_a_key_that_was_revoked_before_this_replica_began_is_told_so() -> None:
    keys = await ring(FakeKeys(key(revoked_at=1)))
    with pytest.raises(Problem) as caught:
        await keys.identify_token(token())
    assert caught.value.code is codes.KEY_REVOKED


async def test_known_keys_work_while_the_database_is_away() -> None:
    store = FakeKeys(key())
    keys = await ring(store)
    store.failure = StoreUnavailable("down")
    assert (await keys.identify_token(token())).user_id == 7
    with pytest.raises(Problem) as caught:
        await keys.identify_token(token("gk_new"))
    assert caught.value.code is codes.DATABASE_UNAVAILABLE


async def test_scopes_are_required_one_by_one() -> None:
    caller = (await ring(FakeKeys(key()))).authenticate_token(token())
    caller.require("read")
    for scope in ("trade", "admin"):
        with pytest.raises(Problem) as caught:
            caller.require(scope)
        assert caught.value.code is codes.SCOPE_MISSING


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, capacity=20, now=0)
    assert bucket.take(20, 0) == 0
    assert bucket.take(5, 0) == pytest.approx(0.5)
    assert bucket.take(5, 0.4) == pytest.approx(0.1)
    assert bucket.take(5, 0.5) == 0
    assert bucket.take(20, 100) == 0
    assert bucket.take(1, 100) == pytest.approx(0.1)


def test_a_batch_above_the_burst_passes_a_full_bucket_and_is_owed() -> None:
    bucket = TokenBucket(rate=10, capacity=20, now=0)
    assert bucket.take(50, 0) == 0
    assert bucket.take(1, 0) == pytest.approx(3.1)
    assert bucket.take(50, 4.9) > 0
    assert bucket.take(50, 5.1) == 0


def test_a_server_key_is_long_hex() -> None:
    assert credentials.parse_server_key("ab" * 32) == b"\xab" * 32
    for bad in ("", "xy" * 32, "ab" * 31):
        with pytest.raises(ConfigurationError):
            credentials.parse_server_key(bad)


def test_secrets_differ_by_key_and_by_server() -> None:
    secrets = {
        credentials.derive_secret(server, name)
        for server in (bytes(32), SERVER_KEY)
        for name in ("gk_a", "gk_b")
    }
    assert len(secrets) == 4
