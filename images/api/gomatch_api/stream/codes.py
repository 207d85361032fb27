"""Problem codes that only the stream has, and how a connection is closed for each that ends it."""

from __future__ import annotations

from typing import Final

from gomatch_api import codes
from gomatch_api.codes import ProblemCode

UNKNOWN_CHANNEL: Final = ProblemCode("unknown_channel", 404, "There is no such channel")
ALREADY_SUBSCRIBED: Final = ProblemCode(
    "already_subscribed", 409, "This connection has that subscription already"
)
NOT_SUBSCRIBED: Final = ProblemCode("not_subscribed", 409, "There is no such subscription")
ALREADY_AUTHENTICATED: Final = ProblemCode(
    "already_authenticated", 409, "This connection has an API key already"
)
SEQUENCE_AHEAD: Final = ProblemCode(
    "sequence_ahead", 422, "The market has not come to this sequence yet"
)
TOO_MANY_SUBSCRIPTIONS: Final = ProblemCode(
    "too_many_subscriptions", 429, "This connection has as many subscriptions as it may have"
)
TOO_MANY_MESSAGES: Final = ProblemCode(
    "too_many_messages", 429, "Messages come faster than this connection may send them"
)
TOO_MANY_ERRORS: Final = ProblemCode("too_many_errors", 400, "Too many messages could not be read")
BINARY_MESSAGE: Final = ProblemCode("binary_message", 415, "Messages are JSON in text frames")
SLOW_READER: Final = ProblemCode(
    "slow_reader", 408, "Messages were not read fast enough; reconnect and resume"
)
TOO_MANY_CONNECTIONS: Final = ProblemCode(
    "too_many_connections", 503, "There are as many streams as there may be"
)

ALL: Final = (
    UNKNOWN_CHANNEL,
    ALREADY_SUBSCRIBED,
    NOT_SUBSCRIBED,
    ALREADY_AUTHENTICATED,
    SEQUENCE_AHEAD,
    TOO_MANY_SUBSCRIPTIONS,
    TOO_MANY_MESSAGES,
    TOO_MANY_ERRORS,
    BINARY_MESSAGE,
    SLOW_READER,
    TOO_MANY_CONNECTIONS,
)

CLOSE_CODES: Final = {
    BINARY_MESSAGE.code: 1003,
    codes.INTERNAL_ERROR.code: 1011,
    codes.SHUTTING_DOWN.code: 1012,
}
"""WebSocket close codes (RFC 6455); all others are closed with 1008, policy violation. The close
frame's reason is the problem's code."""

POLICY_VIOLATION: Final = 1008
