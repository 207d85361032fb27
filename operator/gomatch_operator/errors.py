"""The operator's errors.

GomatchError
└── OperatorError
    ├── LeadershipLost          another operator holds the Lease: end at once
    ├── ClusterError            the API server refused; carries its status and message
    │   ├── ObjectExists        409 on create
    │   ├── ObjectChanged       409 on an update: look again
    │   ├── ObjectMissing       404
    │   ├── ObjectInvalid       400 or 422: it cannot be so
    │   ├── ForeignObject       an object of our name is somebody else's
    │   ├── ListExpired         410: list anew from the beginning
    │   ├── Forbidden           403 that is no quota: a right is missing
    │   ├── QuotaExceeded       403 by a ResourceQuota
    │   ├── NamespaceTerminating
    │   └── ClusterUnavailable  no answer, 5xx, 429, or the credentials are not valid now
    ├── BrokerError
    │   ├── BrokerUnavailable   no answer
    │   ├── BrokerRefused       wrong credentials, or not permitted
    │   ├── VirtualHostMissing  the broker has no virtual host of the configured name
    │   └── ManagementMissing   something answers that is not the management API
    └── MirrorUnavailable       Redis gives no answer; `refused` when the credentials are wrong
"""

from __future__ import annotations

from gomatch.errors import GomatchError


class OperatorError(GomatchError):
    code = "operator"


class LeadershipLost(OperatorError):
    code = "leadership_lost"


class ClusterError(OperatorError):
    """``status`` is the HTTP status, 0 when there was no answer."""

    code = "cluster"

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ObjectExists(ClusterError):
    code = "object_exists"


class ObjectChanged(ClusterError):
    code = "object_changed"


class ObjectMissing(ClusterError):
    code = "object_missing"


class ObjectInvalid(ClusterError):
    code = "object_invalid"


class ForeignObject(ClusterError):
    code = "foreign_object"


class ListExpired(ClusterError):
    code = "list_expired"


class Forbidden(ClusterError):
    code = "forbidden"


class QuotaExceeded(ClusterError):
    code = "quota_exceeded"


class NamespaceTerminating(ClusterError):
    code = "namespace_terminating"


class ClusterUnavailable(ClusterError):
    """``retry_after``: seconds that the API server asks to wait, if it does."""

    code = "cluster_unavailable"

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class BrokerError(OperatorError):
    code = "broker"


class BrokerUnavailable(BrokerError):
    code = "broker_unavailable"


class BrokerRefused(BrokerError):
    code = "broker_refused"


class VirtualHostMissing(BrokerError):
    code = "virtual_host_missing"


class ManagementMissing(BrokerError):
    code = "management_missing"


class MirrorUnavailable(OperatorError):
    code = "mirror_unavailable"

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
