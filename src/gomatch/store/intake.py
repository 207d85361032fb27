"""Acceptance: commands become durable under their market's next numbers."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from gomatch.errors import StoreError
from gomatch.store.pool import PoolUser
from gomatch.store.records import Acceptance, ClaimedId, ClaimKey, ClientClaim

_ACCEPT = "SELECT * FROM gomatch_accept($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_CLAIMS = """
SELECT k.user_id, k.kind, k.client_id, c.market_id, m.symbol, c.number, c.digest, c.accepted_at
  FROM unnest($1::bigint[], $2::smallint[], $3::text[]) AS k (user_id, kind, client_id)
  JOIN client_ids AS c USING (user_id, kind, client_id)
  JOIN markets AS m USING (market_id)
"""


class Intake(PoolUser):
    async def accept(
        self,
        market_id: int,
        *,
        bodies: bytes,
        count: int,
        claims: Sequence[ClientClaim] = (),
        backlog_limit: int,
    ) -> Acceptance:
        """Accept ``count`` commands, packed in ``bodies``: all of them or none.

        One statement, so that no lock is held over a round trip. Raises DuplicateClientIds when
        any claim exists already (see `claims`), BacklogFull when accepted - applied would pass
        ``backlog_limit``, ReservationRefused, UnknownMarket, StoreError when what is in the
        batch makes the database fail, and StoreUnavailable, whose
        ``outcome_unknown`` says that the commands may have been accepted although no answer came.
        """
        users, kinds, client_ids, offsets, digests = zip(*claims, strict=True) if claims else _NONE
        try:
            row = await self._fetchrow(
                _ACCEPT,
                market_id,
                count,
                bodies,
                backlog_limit,
                users,
                kinds,
                client_ids,
                offsets,
                digests,
                writing=True,
            )
        except asyncpg.PostgresError as error:
            # A fault in the venue's gomatch_reserve, as a division by zero: all is rolled back.
            raise StoreError(
                f"PostgreSQL refused the accept ({error.sqlstate}): {error}"
            ) from error
        assert row is not None
        return Acceptance(*row)

    async def claims(self, keys: Sequence[ClaimKey]) -> dict[ClaimKey, ClaimedId]:
        """What those of ``keys`` that exist were given to."""
        if not keys:
            return {}
        users, kinds, client_ids = zip(*keys, strict=True)
        rows = await self._fetch(_CLAIMS, users, kinds, client_ids)
        return {(row[0], row[1], row[2]): ClaimedId(*tuple(row)[3:]) for row in rows}


_NONE: tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...], tuple[int, ...], tuple[bytes, ...]]
_NONE = ((), (), (), (), ())
