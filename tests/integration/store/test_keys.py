"""Keys as a replica reads them."""

from __future__ import annotations

import asyncpg

from gomatch.store import ApiKeys


async def test_active_keys_come_in_pages_and_without_those_revoked(pool: asyncpg.Pool) -> None:
    keys = ApiKeys(pool)
    began = await keys.now()
    made = sorted([(await keys.create("alice", ("read",))).key_id for _ in range(5)])
    await keys.revoke(made[1])
    pages, after = [], ""
    while page := await keys.active(after, limit=2):
        pages.append([record.key_id for record in page])
        after = page[-1].key_id
    assert pages == [[made[0], made[2]], [made[3], made[4]]]
    assert [record.key_id for record in await keys.revoked_since(began)] == [made[1]]
    assert await keys.revoked_since(await keys.now()) == []
