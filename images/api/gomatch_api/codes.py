"""Every problem code of the API, with its HTTP status; docs/errors.md lists the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ProblemCode:
    """``code`` is stable: clients may rely on it. ``title`` is the same for every occurrence."""

    code: str
    status: int
    title: str

    @property
    def type(self) -> str:
        return f"urn:gomatch:problem:{self.code}"


MALFORMED_REQUEST: Final = ProblemCode("malformed_request", 400, "The request cannot be read")
MALFORMED_JSON: Final = ProblemCode("malformed_json", 400, "The body is not well-formed JSON")
DUPLICATE_KEY: Final = ProblemCode("duplicate_key", 400, "A JSON object has the same key twice")
UNAUTHENTICATED: Final = ProblemCode("unauthenticated", 401, "Credentials are missing or not valid")
KEY_REVOKED: Final = ProblemCode("key_revoked", 401, "The API key was revoked")
SIGNATURE_INVALID: Final = ProblemCode("signature_invalid", 401, "The signature does not match")
TIMESTAMP_EXPIRED: Final = ProblemCode(
    "timestamp_expired", 401, "The request was signed too long ago or in the future"
)
SCOPE_MISSING: Final = ProblemCode("scope_missing", 403, "The API key lacks the scope for this")
NOT_FOUND: Final = ProblemCode("not_found", 404, "There is nothing at this address")
UNKNOWN_MARKET: Final = ProblemCode("unknown_market", 404, "There is no such market")
UNKNOWN_ORDER: Final = ProblemCode("unknown_order", 404, "There is no such order of yours")
METHOD_NOT_ALLOWED: Final = ProblemCode(
    "method_not_allowed", 405, "This address does not take this method"
)
REQUEST_TIMEOUT: Final = ProblemCode("request_timeout", 408, "The body did not come in time")
CLIENT_ORDER_ID_REUSED: Final = ProblemCode(
    "client_order_id_reused", 409, "Another order was sent under this client_order_id"
)
REQUEST_ID_REUSED: Final = ProblemCode(
    "request_id_reused", 409, "Another request was sent under this request_id"
)
BODY_TOO_LARGE: Final = ProblemCode("body_too_large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE: Final = ProblemCode(
    "unsupported_media_type", 415, "The body must be application/json"
)
MISSING_FIELD: Final = ProblemCode("missing_field", 422, "A required field is missing")
UNKNOWN_FIELD: Final = ProblemCode("unknown_field", 422, "There is no such field")
WRONG_TYPE: Final = ProblemCode("wrong_type", 422, "A field has the wrong JSON type")
INVALID_VALUE: Final = ProblemCode("invalid_value", 422, "A field has a value that it cannot have")
DECIMAL_NOT_STRING: Final = ProblemCode(
    "decimal_not_string", 422, "Decimals are sent as JSON strings"
)
INVALID_DECIMAL: Final = ProblemCode("invalid_decimal", 422, "This is not a plain decimal number")
OFF_TICK: Final = ProblemCode("off_tick", 422, "The price is no multiple of the tick size")
OFF_LOT: Final = ProblemCode("off_lot", 422, "The quantity is no multiple of the lot size")
INVALID_QUANTITY: Final = ProblemCode("invalid_quantity", 422, "The quantity must be above zero")
INVALID_PRICE: Final = ProblemCode("invalid_price", 422, "The price must be above zero")
INVALID_DISPLAY: Final = ProblemCode(
    "invalid_display", 422, "The display quantity must be above zero and at most the quantity"
)
QUANTITY_TOO_SMALL: Final = ProblemCode(
    "quantity_too_small", 422, "The quantity is below the market's minimum"
)
QUANTITY_TOO_LARGE: Final = ProblemCode(
    "quantity_too_large", 422, "The quantity is above the market's maximum"
)
PRICE_TOO_HIGH: Final = ProblemCode("price_too_high", 422, "The price is above the market's limit")
NOTIONAL_TOO_SMALL: Final = ProblemCode(
    "notional_too_small", 422, "Price times quantity is below the market's minimum"
)
FIELD_NOT_ALLOWED: Final = ProblemCode(
    "field_not_allowed", 422, "This field does not go with the rest of the request"
)
TIME_IN_FORCE_NOT_ALLOWED: Final = ProblemCode(
    "time_in_force_not_allowed", 422, "This time in force does not go with this order"
)
INVALID_TIME: Final = ProblemCode("invalid_time", 422, "This is not an RFC 3339 time")
EXPIRY_IN_PAST: Final = ProblemCode("expiry_in_past", 422, "The order would have expired already")
INVALID_ORDER_ID: Final = ProblemCode("invalid_order_id", 422, "This cannot be an order id")
INVALID_CLIENT_ID: Final = ProblemCode(
    "invalid_client_id", 422, "Client ids are 1 to 64 of A-Z a-z 0-9 . _ : -"
)
NOTHING_TO_AMEND: Final = ProblemCode("nothing_to_amend", 422, "The amend changes nothing")
BATCH_SIZE: Final = ProblemCode("batch_size", 422, "A batch has 1 to 500 items")
INVALID_CURSOR: Final = ProblemCode("invalid_cursor", 422, "This cursor is not one of ours")
RESERVATION_REFUSED: Final = ProblemCode(
    "reservation_refused", 422, "The venue did not reserve what this needs"
)
RATE_LIMITED: Final = ProblemCode("rate_limited", 429, "Too many commands for this API key")
INTERNAL_ERROR: Final = ProblemCode("internal_error", 500, "Something unexpected went wrong")
NOT_ACCEPTED: Final = ProblemCode(
    "not_accepted", 503, "The database cannot be reached; nothing was accepted"
)
OUTCOME_UNKNOWN: Final = ProblemCode(
    "outcome_unknown", 503, "The database did not answer; the request may have been accepted"
)
OVERLOADED: Final = ProblemCode("overloaded", 503, "Too many commands are waiting")
BACKLOG_FULL: Final = ProblemCode(
    "backlog_full", 503, "The market has too many commands that are not applied yet"
)
SHUTTING_DOWN: Final = ProblemCode("shutting_down", 503, "This replica is shutting down")
DATABASE_UNAVAILABLE: Final = ProblemCode(
    "database_unavailable", 503, "The database cannot be reached"
)
MARKET_DATA_UNAVAILABLE: Final = ProblemCode(
    "market_data_unavailable", 503, "No matcher has sent this market's data yet"
)

ALL: Final[tuple[ProblemCode, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, ProblemCode)
)
"""Every code above, in the order of this module."""
