"""The errors of gomatch.

    GomatchError
    ├── ConfigurationError      settings that cannot work; says which and what to do
    │   └── CredentialsMissing  a file with a password or token is not there or cannot be read
    ├── CodecError              bytes that are not what they should be
    ├── StoreError
    │   ├── StoreUnavailable    PostgreSQL cannot be reached or answered too late: nothing is known
    │   │                       to have been written unless `outcome_unknown` is True
    │   │   └── CredentialsRefused  it does not take our user and password, or the files with
    │   │                           them are not there; retried as well
    │   ├── DuplicateClientIds  an accept met client ids that exist already; nothing was accepted
    │   ├── BacklogFull         accepted - applied has reached the market's limit
    │   ├── ReservationRefused  `gomatch_reserve` refused to reserve for a batch: nothing accepted
    │   ├── UnknownMarket
    │   ├── IdentityMismatch    the market exists with another tick, lot, base or quote
    │   ├── DefinitionChanged   the market was configured by somebody else meanwhile
    │   ├── SchemaMismatch      the database's schema is older or newer than this program's
    │   ├── CommitRefused       PostgreSQL cannot store what a batch did; nothing was written
    │   ├── ForeignCommands     commands to be applied are not those that were accepted
    │   ├── Fenced              another leads, of the market or of the operators: stop at once
    │   ├── ClaimRefused        the symbol belongs to another Market; carries which
    │   │   ├── ClaimHeld       ... that exists
    │   │   └── ClaimRetained   ... that was deleted with its data retained: adopt it
    │   ├── ForeignMarket       the market was made by the command line and has no claim
    │   ├── NotDrained          a market to be removed is not closed, or not all of it is applied
    │   └── RemovalUnfinished   the market's rows are being removed: go on with that first
    ├── TransportError
    │   └── PublishFailed       the broker did not confirm; the commands are safe in PostgreSQL
    ├── CacheError
    │   └── CacheStale          Redis holds another state than expected: rebuild
    ├── EngineError
    │   └── EngineFault         the engine raised on a command; carries its number
    └── LoadError               the load generator cannot go on; says why
        └── ConnectionFailed    no answer came, and what was sent may have been done

Every error has a stable ``code`` and a message that says what to do.
"""

from __future__ import annotations


class GomatchError(Exception):
    code = "internal_error"


class ConfigurationError(GomatchError):
    code = "configuration"


class CredentialsMissing(ConfigurationError):
    code = "credentials_missing"


class CodecError(GomatchError):
    code = "codec"


class StoreError(GomatchError):
    code = "store"


class StoreUnavailable(StoreError):
    """``outcome_unknown``: the statement may have been committed although no answer came."""

    code = "store_unavailable"

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class CredentialsRefused(StoreUnavailable):
    code = "credentials_refused"


class DuplicateClientIds(StoreError):
    code = "duplicate_client_ids"


class BacklogFull(StoreError):
    code = "backlog_full"


class ReservationRefused(StoreError):
    """The message is that of the exception which the database function raised."""

    code = "reservation_refused"


class UnknownMarket(StoreError):
    code = "unknown_market"


class IdentityMismatch(StoreError):
    code = "identity_mismatch"


class DefinitionChanged(StoreError):
    code = "definition_changed"


class SchemaMismatch(StoreError):
    code = "schema_mismatch"


class CommitRefused(StoreError):
    """However often it is sent: a value that does not fit, a row that should exist and does not."""

    code = "commit_refused"


class ForeignCommands(StoreError):
    """``first``: the number under which something else, or nothing, was accepted."""

    code = "foreign_commands"

    def __init__(self, message: str, *, first: int) -> None:
        super().__init__(message)
        self.first = first


class Fenced(StoreError):
    code = "fenced"


class ClaimRefused(StoreError):
    """Names the owner: a Market ``namespace``/``name`` of the operator ``installation``."""

    code = "claim_refused"

    def __init__(self, message: str, *, installation: str, namespace: str, name: str) -> None:
        super().__init__(message)
        self.installation = installation
        self.namespace = namespace
        self.name = name


class ClaimHeld(ClaimRefused):
    code = "claim_held"


class ClaimRetained(ClaimRefused):
    code = "claim_retained"


class ForeignMarket(StoreError):
    code = "foreign_market"


class NotDrained(StoreError):
    code = "not_drained"


class RemovalUnfinished(StoreError):
    code = "removal_unfinished"


class TransportError(GomatchError):
    code = "transport"


class PublishFailed(TransportError):
    code = "publish_failed"


class CacheError(GomatchError):
    code = "cache"


class CacheStale(CacheError):
    code = "cache_stale"


class EngineError(GomatchError):
    code = "engine"


class EngineFault(EngineError):
    """``number`` is the first command of those that the engine was given together, 0 when it raised
    as time went on; ``last`` is the last of its batch. Where it was given one alone, ``order`` is
    the number of the order that it speaks of and ``user`` its sender; 0 otherwise. ``trace`` as in
    a CommandBatch."""

    code = "engine_fault"

    def __init__(
        self,
        message: str,
        *,
        number: int,
        last: int,
        order: int = 0,
        user: int = 0,
        trace: str = "",
    ) -> None:
        super().__init__(message)
        self.number = number
        self.last = last
        self.order = order
        self.user = user
        self.trace = trace


class LoadError(GomatchError):
    code = "load"


class ConnectionFailed(LoadError):
    code = "connection_failed"
