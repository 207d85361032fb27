"""The one OpenAPI document: FastAPI's own routes, and the hot ones beside them."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gomatch_api import codes, requests, responses
from gomatch_api.problems import ProblemBody
from gomatch_api.routes.documents import (
    ACCEPTANCE,
    AUTHENTICATION,
    BODY,
    SECURITY,
    Responses,
    documented,
    reference,
)

DESCRIPTION = """\
Order entry and market data. Decimals are JSON strings, times RFC 3339 in UTC with microseconds.
Errors are problem documents (RFC 9457) with a stable `code`; docs/errors.md lists all of them.
A 503 on order entry means that nothing was accepted, unless its code is `outcome_unknown`: then
send the same again under the same client id to learn.
"""

_FIELD_PROBLEMS = (
    codes.MISSING_FIELD,
    codes.UNKNOWN_FIELD,
    codes.WRONG_TYPE,
    codes.INVALID_VALUE,
    codes.DECIMAL_NOT_STRING,
    codes.INVALID_DECIMAL,
    codes.OFF_TICK,
    codes.OFF_LOT,
    codes.INVALID_QUANTITY,
    codes.INVALID_PRICE,
    codes.INVALID_DISPLAY,
    codes.QUANTITY_TOO_SMALL,
    codes.QUANTITY_TOO_LARGE,
    codes.PRICE_TOO_HIGH,
    codes.NOTIONAL_TOO_SMALL,
    codes.FIELD_NOT_ALLOWED,
    codes.TIME_IN_FORCE_NOT_ALLOWED,
    codes.INVALID_TIME,
    codes.EXPIRY_IN_PAST,
    codes.INVALID_CLIENT_ID,
)
_STRUCTS: tuple[type, ...] = (
    requests.NewOrderRequest,
    requests.AmendRequest,
    requests.BatchRequest,
    requests.StateRequest,
    responses.Acknowledgement,
    responses.Result,
    responses.BatchResults,
    responses.CancelAllAcknowledgement,
    responses.StateAcknowledgement,
    responses.Order,
    responses.Orders,
    responses.Fills,
    responses.Trades,
    responses.MarketInfo,
    responses.Markets,
    responses.Depth,
    responses.Ticker,
    responses.Health,
    responses.Readiness,
)
_WAIT = {
    "name": "wait",
    "in": "query",
    "description": "`result`: answer after matching, or with `pending` when that takes too long.",
    "schema": {"type": "string", "enum": ["result"]},
}
_ORDER_ID = {
    "name": "order_id",
    "in": "path",
    "required": True,
    "description": "The order's id, or `client:<client_order_id>`.",
    "schema": {"type": "string"},
    "example": "BTC-USDT-17",
}
_MARKET = {
    "name": "market",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": "BTC-USDT",
}
_REQUEST_ID = {
    "name": "request_id",
    "in": "query",
    "description": "The same request again under this id gets the first answer.",
    "schema": {"type": "string", "pattern": requests.CLIENT_ID_PATTERN},
}
_NEW_ORDER = {
    "market": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "price": "60000.00",
    "quantity": "0.010",
    "client_order_id": "my-1",
}
_LEVELS = {
    "type": "array",
    "items": {
        "type": "array",
        "description": "[price, quantity]",
        "items": {"type": "string"},
        "minItems": 2,
        "maxItems": 2,
    },
}
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`<key_id>.<secret>`, as `gomatch keys create` prints it.",
    },
    "signatureKey": {"type": "apiKey", "in": "header", "name": "X-Gomatch-Key"},
    "signatureTimestamp": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gomatch-Timestamp",
        "description": "Milliseconds since the epoch, at most five seconds off.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Gomatch-Signature",
        "description": "Hex HMAC-SHA256 under the secret of timestamp, method, path with query, "
        "and body, one after the other.",
    },
}


def install(app: FastAPI) -> None:
    """Make ``app.openapi()`` give the whole document, made once."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    # As FastAPI's documentation has it.
    app.openapi = openapi  # type: ignore[method-assign]


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all routes."""
    schema = get_openapi(
        title="gomatch", version=version("gomatch"), description=DESCRIPTION, routes=app.routes
    )
    for path, operations in _hot_paths().items():
        schema["paths"].setdefault(path, {}).update(operations)
    components = schema.setdefault("components", {})
    components["securitySchemes"] = _SECURITY_SCHEMES
    _, own = msgspec.json.schema_components(
        (*_STRUCTS, ProblemBody), ref_template="#/components/schemas/{name}"
    )
    own["Problem"] = own.pop("ProblemBody")
    item = own["ItemResult"]["properties"]
    item.update(
        order=reference("Acknowledgement"), result=reference("Result"), problem=reference("Problem")
    )
    sides = own["Depth"]["properties"]
    sides["bids"] = sides["asks"] = _LEVELS
    components["schemas"] = dict(sorted(own.items()))
    for operations in schema["paths"].values():
        for operation in operations.values():
            _drop_default_validation(operation)
    return schema


def _drop_default_validation(operation: dict[str, Any]) -> None:
    """FastAPI documents its own 422 where a route does not; ours is a problem document."""
    refused = operation["responses"].get("422", {})
    content = refused.get("content", {})
    if "application/json" in content:
        del content["application/json"]
        if not content:
            operation["responses"]["422"] = documented("Problem", codes.INVALID_VALUE)[422]


def _hot_paths() -> dict[str, Any]:
    return {
        "/v1/orders": {
            "post": _operation(
                "place_order",
                "Place an order",
                body="NewOrderRequest",
                example=_NEW_ORDER,
                parameters=[_WAIT],
                problems=(*_FIELD_PROBLEMS, codes.UNKNOWN_MARKET, codes.CLIENT_ORDER_ID_REUSED),
            )
        },
        "/v1/orders/batch": {"post": _batch()},
        "/v1/orders/{order_id}": {
            "delete": _operation(
                "cancel_order",
                "Cancel an order",
                parameters=[_ORDER_ID, _REQUEST_ID, _WAIT],
                problems=(
                    codes.UNKNOWN_ORDER,
                    codes.REQUEST_ID_REUSED,
                    codes.INVALID_VALUE,
                    codes.INVALID_CLIENT_ID,
                ),
            ),
            "patch": _operation(
                "amend_order",
                "Amend an order",
                description="Reducing the quantity keeps the order's priority; every other "
                "change loses it.",
                body="AmendRequest",
                example={"quantity": "0.005"},
                parameters=[_ORDER_ID, _WAIT],
                problems=(
                    *_FIELD_PROBLEMS,
                    codes.NOTHING_TO_AMEND,
                    codes.UNKNOWN_ORDER,
                    codes.REQUEST_ID_REUSED,
                ),
            ),
        },
        "/v1/markets/{market}/state": {
            "post": _operation(
                "set_state",
                "Set a market's trading state (scope `admin`)",
                tag="markets",
                body="StateRequest",
                example={"state": "halted"},
                parameters=[_MARKET],
                problems=(
                    *_FIELD_PROBLEMS[:4],
                    codes.UNKNOWN_MARKET,
                    codes.INVALID_CLIENT_ID,
                    codes.REQUEST_ID_REUSED,
                ),
                accepted="StateAcknowledgement",
                result=None,
            )
        },
    }


def _batch() -> dict[str, Any]:
    operation = _operation(
        "place_batch",
        "Up to 500 orders, cancels and amends",
        description="Each item is answered by itself, in order; good ones go in whatever the "
        "others are. Items of one market keep their order.",
        body="BatchRequest",
        example={
            "items": [
                {"action": "new", **_NEW_ORDER},
                {"action": "cancel", "id": "BTC-USDT-17"},
                {"action": "amend", "client_order_id": "my-1", "price": "60001.00"},
            ]
        },
        parameters=[_WAIT],
        problems=(codes.BATCH_SIZE, *_FIELD_PROBLEMS[:4]),
        accepted=None,
        result="BatchResults",
    )
    operation["responses"]["200"]["description"] = "A result for each item."
    return operation


def _operation(
    name: str,
    summary: str,
    *,
    parameters: list[dict[str, Any]],
    problems: tuple[codes.ProblemCode, ...],
    tag: str = "orders",
    description: str = "",
    body: str | None = None,
    example: object = None,
    accepted: str | None = "Acknowledgement",
    result: str | None = "Result",
) -> dict[str, Any]:
    refusals = (*problems, *AUTHENTICATION, *ACCEPTANCE, *(BODY if body else ()))
    answers: Responses = {}
    if accepted:
        answers |= documented(accepted, *refusals, status=202, description="Durable.")
    if result:
        answers |= documented(result, *refusals, description="Matched (`?wait=result`).")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "security": SECURITY,
        "parameters": parameters,
        "responses": {str(status): answers[status] for status in sorted(answers, key=int)},
    }
    if description:
        operation["description"] = description
    if body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": reference(body), "example": example}},
        }
    return operation
