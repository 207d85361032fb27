"""Conditions of a Market: their types, every reason, and what to do about each.

docs/operator.md has the same list, and a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["True", "False", "Unknown"]

READY = "Ready"
SPEC_VALID = "SpecValid"
STORE_READY = "StoreReady"
MATCHER_AVAILABLE = "MatcherAvailable"
QUEUE_READY = "QueueReady"
CACHE_READY = "CacheReady"
PROGRESSING = "Progressing"
HALTED = "Halted"
DRAINING = "Draining"
CONFLICT = "Conflict"
RECONCILIATION_PAUSED = "ReconciliationPaused"

TYPES = (
    READY,
    SPEC_VALID,
    STORE_READY,
    MATCHER_AVAILABLE,
    QUEUE_READY,
    CACHE_READY,
    PROGRESSING,
    HALTED,
    DRAINING,
    CONFLICT,
    RECONCILIATION_PAUSED,
)
"""All of them are always present, in this order."""


@dataclass(frozen=True, slots=True)
class Condition:
    type: str
    status: Status
    reason: str
    message: str


def told(status: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions in the status of a Market, by type."""
    return {each.get("type", ""): each for each in status.get("conditions") or ()}


_POSTGRES_AWAY = "PostgreSQL gives no answer. Nothing is lost; it goes on by itself."
_CREDENTIALS = (
    "The server refuses the operator's user or password, or the Secret with them is not there: the "
    "message says which. Correct the Secret."
)

REASONS: Mapping[str, Mapping[str, str]] = {
    READY: {
        "Trading": "Nothing to do. Halted says whether orders are matched now.",
        "SpecInvalid": "See SpecValid.",
        "StoreNotReady": "See StoreReady.",
        "MatcherNotAvailable": "See MatcherAvailable.",
        "Conflict": "See Conflict.",
        "IdentityMismatch": "The symbol is retained with another tick or lot size. Give this "
        "Market that identity, or another symbol.",
        "Deleting": "The Market is on its way out: see Draining.",
    },
    SPEC_VALID: {
        "Valid": "Nothing to do.",
        "Unreadable": "The spec has what this operator cannot read; the CRD is probably older or "
        "newer than the operator. Apply the CRD of this release.",
        "OutOfRange": "A value cannot work with the tick and lot size; the message names it.",
        "TransportUnavailable": "This release carries commands by RabbitMQ only. Set transport to "
        "RabbitMQ.",
        "CrdTooOld": "The installed CRD lacks fields that this operator serves. Apply the CRD of "
        "this release.",
    },
    STORE_READY: {
        "InStep": "Nothing to do: the claim is held, definition and state are entered.",
        "StoreUnavailable": _POSTGRES_AWAY,
        "CredentialsRefused": _CREDENTIALS,
        "SchemaMismatch": "The database has another schema than this release. Run the migrations, "
        "or install the release that fits.",
        "IdentityMismatch": "The symbol exists with another tick or lot size, which never change.",
        "BacklogFull": "The matcher is too far behind to take the new definition. It is entered "
        "when the backlog has room.",
        "NotClaimed": "See Conflict.",
        "SpecInvalid": "See SpecValid.",
    },
    MATCHER_AVAILABLE: {
        "Leading": "Nothing to do.",
        "Starting": "The pods are being made. It takes seconds.",
        "NoLeader": "Pods run and none leads. Look at /readyz and the log of a pod.",
        "SecretNotFound": "A Secret or ConfigMap that the pods mount is missing in the Market's "
        "namespace; the message names it.",
        "ImagePullFailed": "The node cannot get the image. Correct its name or the pull secret.",
        "CrashLooping": "The matcher ends again and again. Its log says why.",
        "Unschedulable": "No node takes the pod; the message is the scheduler's.",
        "QuotaExceeded": "A ResourceQuota of the namespace leaves no room.",
        "NamespaceTerminating": "The namespace is being deleted, nothing is made in it.",
        "Forbidden": "The operator lacks a right in this namespace. Install the chart with it.",
        "NotStarted": "Nothing runs until Conflict, SpecValid and StoreReady allow it.",
        "ClusterRefused": "The API server refuses an object; the message is its own.",
    },
    QUEUE_READY: {
        "InStep": "Nothing to do.",
        "BrokerUnavailable": "RabbitMQ gives no answer. Matchers read from PostgreSQL meanwhile.",
        "CredentialsRefused": _CREDENTIALS,
        "ManagementMissing": "Nothing serves the management API at managementUrl. Enable the "
        "plugin rabbitmq_management, or correct the URL.",
        "VirtualHostMissing": "RabbitMQ has no virtual host of the configured name. Make it, or "
        "correct servers.rabbitmq.vhost.",
        "BrokerRefused": "RabbitMQ refuses what the operator asks; the message is its own.",
        "ForeignQueue": "A queue of the market's name is somebody else's. Rename or delete it.",
        "ForeignExchange": "An exchange of our name has another type. Delete it.",
        "NotStarted": "Nothing is made until the claim is held.",
    },
    CACHE_READY: {
        "InStep": "Nothing to do.",
        "Rebuilding": "The mirror is missing or behind; the leader was asked to write it anew.",
        "CacheUnavailable": "Redis gives no answer. Recovery reads from PostgreSQL meanwhile.",
        "CredentialsRefused": _CREDENTIALS,
        "NotStarted": "Nothing is mirrored until a matcher has led and written it.",
    },
    PROGRESSING: {
        "Settled": "Nothing to do: all is as desired.",
        "Reconciling": "Something is being made or restored.",
        "RollingOut": "Pods of a new image or configuration replace the old ones.",
        "RolloutPending": "Waits for other Markets to take the new default image first.",
        "RolloutBlocked": "A Market did not become Ready with the new default image, so no other "
        "takes it. Repair that one or go back to the image before.",
        "Blocked": "Cannot go on: another condition says why.",
    },
    HALTED: {
        "NotHalted": "Nothing to do.",
        "Requested": "spec.state is Halted. Set another state to go on.",
        "PriceBand": "A trade would have left the price band. Look at the market, then change the "
        "annotation gomatch.io/resume or use the command line.",
        "EngineError": "The engine failed on a command. Look at the matcher's log, then change "
        "the annotation gomatch.io/resume or use the command line.",
        "Manual": "Somebody halted it by the command line. Resume there, or change the annotation "
        "gomatch.io/resume.",
        "Unknown": "Not known while PostgreSQL gives no answer.",
    },
    DRAINING: {
        "NotDeleting": "Nothing to do.",
        "Closing": "Intake is being closed and open orders cancelled.",
        "WaitingForMatcher": "Accepted commands wait to be applied.",
        "WritingImage": "The matcher writes its image as it ends.",
        "CleaningUp": "Queue and keys are being removed.",
        "StoreUnavailable": "PostgreSQL gives no answer, so the deletion waits. Set the annotation "
        "gomatch.io/abandon=true to remove the Market without it.",
    },
    CONFLICT: {
        "NoConflict": "Nothing to do.",
        "HeldByAnother": "Another Market has claimed the symbol; the message names it. Delete one.",
        "RetainedByAnother": "The symbol's data was retained by a Market of another name. Set the "
        "annotation gomatch.io/adopt to the symbol to take it over.",
        "ForeignMarket": "The market was made by the command line. It is not taken over.",
        "ForeignObject": "An object of our name belongs to somebody else; the message names it. "
        "Rename or delete it.",
        "ForeignQueue": "A queue of the market's name is somebody else's. Rename or delete it.",
        "Unknown": "Not known while PostgreSQL gives no answer.",
    },
    RECONCILIATION_PAUSED: {
        "Active": "Nothing to do.",
        "Paused": "The annotation gomatch.io/paused is true. Remove it to go on.",
    },
}
"""Condition type -> reason -> what to do."""
