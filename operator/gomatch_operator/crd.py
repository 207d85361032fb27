"""Whether the installed CRD is as new as this operator: an older one drops fields silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import fields

from gomatch.observability import logs
from gomatch_operator import names
from gomatch_operator.cluster.api import ClusterApi
from gomatch_operator.errors import ClusterError
from gomatch_operator.market import MarketSpec
from gomatch_operator.outages import Fault

_log = logs.get(__name__)


class CrdWatch:
    """Looks now and then; without the right to, it is taken for current."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self.fault: Fault | None = None
        """What SpecValid says of every Market."""

    async def look(self) -> bool:
        """Returns whether the fault is another than before."""
        before = self.fault
        try:
            crd = await self._api.get("CustomResourceDefinition", "", names.CRD_NAME)
        except ClusterError as error:
            _log.info("crd_not_read", why=str(error))
            return False
        missing = missing_fields(crd)
        self.fault = None
        if missing:
            self.fault = Fault(
                "CrdTooOld",
                f"The CRD {names.CRD_NAME} lacks {', '.join(missing)}: apply the one of this "
                "release.",
            )
        return self.fault != before


def missing_fields(crd: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields of a Market's spec that this operator serves and ``crd`` lacks."""
    for version in crd["spec"]["versions"]:
        if version["name"] == names.VERSION:
            schema = version.get("schema", {}).get("openAPIV3Schema", {})
            spec = schema.get("properties", {}).get("spec", {})
            known = spec.get("properties", {})
            wanted = [field.encode_name for field in fields(MarketSpec)]
            return tuple(name for name in wanted if name not in known)
    return (f"version {names.VERSION}",)
