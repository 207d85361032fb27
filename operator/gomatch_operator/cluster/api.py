"""Calls to the Kubernetes API. Objects are plain JSON values both ways: model classes would cost
time and memory with every object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient

from gomatch_operator import names
from gomatch_operator.cluster.failures import failure
from gomatch_operator.cluster.resources import RESOURCES
from gomatch_operator.errors import ClusterUnavailable, ObjectChanged, ObjectMissing

Verb = Literal["get", "list", "create", "update", "patch", "delete"]
Body = Mapping[str, Any]
Propagation = Literal["Background", "Foreground", "Orphan"]

_JSON = "application/json"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


class ClusterApi:
    """Kinds are those of `resources.RESOURCES`. Every method raises a ClusterError, see errors.py:
    ClusterUnavailable when there was no answer within ``timeout`` seconds.

    ``count`` is called with the verb of each call, as RBAC and the audit log name it; ``permit``
    just before each write is sent, and what it raises is raised instead of writing. Writes of
    whole objects are strict: a field that the API server does not know is refused. Lists are read
    ``page`` objects at a time.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        timeout: float,
        count: Callable[[Verb], None] = lambda verb: None,
        permit: Callable[[], None] = lambda: None,
        page: int = 500,
    ) -> None:
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._count = count
        self._permit = permit
        self._page = page

    async def close(self) -> None:
        await self._client.close()

    async def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        return await self._call("get", "GET", kind, namespace, name)

    async def list(
        self,
        kind: str,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[dict[str, Any]]:
        """Of all namespaces if ``namespace`` is empty. Objects have no kind in a list."""
        query = {
            "limit": str(self._page),
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        while True:
            page = await self._call("list", "GET", kind, namespace, query=query)
            for item in page.get("items") or []:
                yield item
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return

    async def discoverable(self, kind: str) -> bool:
        """Whether discovery tells of it: some time after the first list of a new kind succeeds."""
        resource = RESOURCES[kind]
        try:
            found = await self._send(f"discover {kind}", "GET", resource.group_path)
        except ObjectMissing:
            return False
        return any(each.get("name") == resource.plural for each in found.get("resources") or [])

    async def create(self, kind: str, namespace: str, body: Body) -> dict[str, Any]:
        return await self._call(
            "create", "POST", kind, namespace, body=body, query=_strict(names.FIELD_MANAGER)
        )

    async def apply(self, kind: str, namespace: str, name: str, body: Body) -> dict[str, Any]:
        """Server-side apply with force. It makes what is missing, unless the body has a
        metadata.uid: then ObjectChanged is raised if there is no such object or another."""
        return await self._call(
            "patch",
            "PATCH",
            kind,
            namespace,
            name,
            body=body,
            content_type=_APPLY,
            query={**_strict(names.FIELD_MANAGER), "force": "true"},
        )

    async def replace(self, kind: str, namespace: str, name: str, body: Body) -> dict[str, Any]:
        """Raises ObjectChanged when the body's metadata.resourceVersion is not the last."""
        return await self._call(
            "update", "PUT", kind, namespace, name, body=body, query=_strict(names.FIELD_MANAGER)
        )

    async def merge_patch(
        self, kind: str, namespace: str, name: str, patch: Body, *, subresource: str = ""
    ) -> dict[str, Any]:
        """Raises ObjectChanged when the patch names another uid or resourceVersion."""
        return await self._call(
            "patch",
            "PATCH",
            kind,
            namespace,
            name,
            subresource=subresource,
            body=patch,
            content_type=_MERGE,
            query={"fieldManager": names.FIELD_MANAGER},
        )

    async def patch_status(
        self, kind: str, namespace: str, name: str, status: Body, *, uid: str
    ) -> dict[str, Any]:
        """Merge ``status`` into that of the object; null removes a field. Raises ObjectChanged
        when the object turns out to be another than the one with ``uid``, made under its name
        meanwhile: the API server has no precondition for this, so the next reconcile of that one
        has to correct its status."""
        body = await self.merge_patch(
            kind, namespace, name, {"status": status}, subresource="status"
        )
        if body["metadata"]["uid"] != uid:
            raise ObjectChanged(f"{kind} {namespace}/{name} was deleted and made anew")
        return body

    async def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        *,
        uid: str,
        propagation: Propagation = "Background",
    ) -> None:
        """Raises ObjectChanged when it is another object now, ObjectMissing when there is none."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": uid},
        }
        await self._call("delete", "DELETE", kind, namespace, name, body=body)

    async def create_event(self, namespace: str, body: Body) -> None:
        await self.create("Event", namespace, body)

    async def _call(
        self,
        verb: Verb,
        method: str,
        kind: str,
        namespace: str,
        name: str = "",
        *,
        subresource: str = "",
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = _JSON,
    ) -> dict[str, Any]:
        path = RESOURCES[kind].path(namespace, name, subresource)
        given = {key: text for key, text in (query or {}).items() if text}
        if given:
            path += f"?{urlencode(given)}"
        what = " ".join(filter(None, [verb, kind, subresource, "/".join([namespace, name])]))
        self._count(verb)
        return await self._send(what, method, path, body=body, content_type=content_type)

    async def _send(
        self,
        what: str,
        method: str,
        path: str,
        *,
        body: Body | None = None,
        content_type: str = _JSON,
    ) -> dict[str, Any]:
        url = f"{self._client.configuration.host}{path}"
        headers = {
            "Accept": _JSON,
            "Content-Type": content_type,
            **self._client.default_headers,
        }
        try:
            await self._client.update_params_for_auth(
                headers, [], ["BearerToken"], path, method, body
            )
            if method != "GET":
                self._permit()
            answer = await self._client.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=self._timeout
            )
            content: bytes = await answer.read()
        except (TimeoutError, OSError, aiohttp.ClientError) as error:
            raise ClusterUnavailable(f"{what}: {error or type(error).__name__}") from error
        if answer.status >= 400:
            raise failure(what, answer.status, answer.headers, content)
        try:
            result: dict[str, Any] = msgspec.json.decode(content)
        except msgspec.DecodeError as error:
            raise ClusterUnavailable(f"{what}: something else answers: {error}") from error
        return result


def _strict(manager: str) -> dict[str, str]:
    return {"fieldManager": manager, "fieldValidation": "Strict"}
