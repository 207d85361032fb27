"""How failures of PostgreSQL and of the way to it become errors of gomatch."""

from __future__ import annotations

from types import TracebackType

import asyncpg

from gomatch.errors import (
    BacklogFull,
    CommitRefused,
    CredentialsMissing,
    CredentialsRefused,
    DuplicateClientIds,
    Fenced,
    ForeignCommands,
    ReservationRefused,
    StoreError,
    StoreUnavailable,
    UnknownMarket,
)

# Raised by our own functions in the database (see migrations).
_OWN: dict[str, type[StoreError]] = {
    "GM001": UnknownMarket,
    "GM002": BacklogFull,
    "GM003": DuplicateClientIds,
    "GM004": CommitRefused,
    # RAISE EXCEPTION without a code: only the venue's own gomatch_reserve does that.
    "P0001": ReservationRefused,
}
_FOREIGN = "GM005"

# Classes of SQLSTATE in which the statement is certain to have been rolled back, but may work
# when sent again: connection refused for lack of resources, cancelled by a timeout, lock not
# available, serialization and deadlock, disk trouble.
_ROLLED_BACK = ("53", "57014", "57P03", "55", "25P02", "25P03", "40", "58")
# As certain, and it works again once somebody mended the server or pointed us at another: a
# primary that was demoted, a database, a table or a right that is missing, an error inside the
# server.
_NEEDS_MENDING = ("25006", "3D", "3F000", "42501", "42P01", "42883", "XX")
# A password changed on one side: the files may say the new one some seconds later.
_CREDENTIALS = "28"
# Classes after which nothing is known: the session was lost or ended from outside.
_SESSION_LOST = ("08", "57P")

_PROTOCOL_CALLS = ("bind_execute", "bind_execute_many", "prepare", "query", "copy_in")


class Translated:
    """Context manager that turns failures of asyncpg into StoreError and its kinds.

    ``writing`` says that a commit may be on its way inside the block: a lost answer then leaves
    the outcome unknown. Other errors (a bug in a statement, a value that does not fit) pass.
    """

    __slots__ = ("writing",)

    def __init__(self, *, writing: bool = False) -> None:
        self.writing = writing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            return
        translated = translate(error, writing=self.writing)
        if translated is not None:
            raise translated from error


def translate(error: BaseException, *, writing: bool) -> StoreError | None:
    """The gomatch error for ``error``, or None when it is none of PostgreSQL's doing."""
    if isinstance(error, asyncpg.PostgresError):
        state: str = error.sqlstate or ""
        if state in _OWN:
            return _OWN[state](str(error))
        if state == _FOREIGN:
            return ForeignCommands(str(error), first=int(error.detail or 0))
        if state.startswith(_ROLLED_BACK):
            return StoreUnavailable(f"PostgreSQL refused for now ({state}): {error}")
        if state.startswith(_CREDENTIALS):
            return CredentialsRefused(f"credentials refused by PostgreSQL ({state}): {error}")
        if state.startswith(_NEEDS_MENDING):
            return StoreUnavailable(f"PostgreSQL cannot serve gomatch ({state}): {error}")
        if state.startswith(_SESSION_LOST):
            return StoreUnavailable(
                f"the PostgreSQL session ended ({state}): {error}", outcome_unknown=writing
            )
        return None
    if isinstance(error, CredentialsMissing):
        return CredentialsRefused(f"credentials of PostgreSQL missing: {error}")
    if isinstance(error, TimeoutError):
        return StoreUnavailable("PostgreSQL did not answer in time", outcome_unknown=writing)
    if isinstance(error, OSError):
        return StoreUnavailable(f"PostgreSQL cannot be reached: {error}", outcome_unknown=writing)
    if isinstance(error, asyncpg.InternalClientError):
        # What asyncpg raises when the session ends at a moment it did not foresee.
        return StoreUnavailable(
            f"the PostgreSQL connection is unusable: {error}", outcome_unknown=writing
        )
    if isinstance(error, AttributeError) and error.obj is None and error.name in _PROTOCOL_CALLS:
        # asyncpg forgets its protocol when a session ends between preparing and executing.
        return StoreUnavailable(
            "the PostgreSQL session ended inside a statement", outcome_unknown=writing
        )
    if isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError):
        return StoreUnavailable(
            f"the PostgreSQL connection is closed: {error}", outcome_unknown=writing
        )
    return None


def fenced(market_id: int, epoch: int) -> Fenced:
    return Fenced(f"market {market_id} is no longer led under epoch {epoch}: stop this matcher")
