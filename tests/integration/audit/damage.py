"""Every damage to what is stored that an audit must find, by its kind.

The kinds of tests/unit/audit/flaws.py, of what a faulty engine would journal, are its other part.
"""

from __future__ import annotations

from dataclasses import dataclass

SYMBOL = "BTC-USDT"


@dataclass(frozen=True)
class DatabaseDamage:
    """``says`` stands in the finding's detail."""

    kind: str
    says: str
    statement: str


@dataclass(frozen=True)
class MirrorDamage:
    kind: str
    says: str
    how: str
    """What test_damage.py does to ``key``."""
    key: str


_MIDDLE = "(SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY last_sequence) FROM journal)"
_NEWEST = "(SELECT max(sequence) FROM snapshots)"
_LAST = "(SELECT max(last_sequence) FROM journal)"
_AN_ORDER = "(SELECT min(number) FROM client_ids WHERE kind = 1)"


DATABASE = [
    DatabaseDamage(
        "chain",
        "breaks",
        f"""UPDATE journal SET events = set_byte(events, length(events) / 2, 7)
        WHERE last_sequence = {_MIDDLE}""",
    ),
    DatabaseDamage(
        "chain", "breaks", f"UPDATE journal SET time = time + 1 WHERE last_sequence = {_MIDDLE}"
    ),
    DatabaseDamage(
        "chain",
        "breaks",
        f"UPDATE journal SET chain = set_byte(chain, 0, 1) WHERE last_sequence = {_MIDDLE}",
    ),
    DatabaseDamage(
        "journal_gap", "goes on with", f"DELETE FROM journal WHERE last_sequence = {_MIDDLE}"
    ),
    DatabaseDamage(
        "journal_gap",
        "goes on with",
        f"UPDATE journal SET first_number = first_number - 1 WHERE last_sequence = {_MIDDLE}",
    ),
    DatabaseDamage(
        "journal_order",
        "have epoch",
        f"UPDATE journal SET epoch = epoch + 1 WHERE last_sequence = {_MIDDLE}",
    ),
    DatabaseDamage(
        "journal_order",
        "time 5 after",
        f"UPDATE journal SET time = 5 WHERE last_sequence = {_LAST}",
    ),
    DatabaseDamage(
        "events_unreadable",
        "malformed",
        f"UPDATE journal SET events = '\\x01' WHERE last_sequence = {_MIDDLE}",
    ),
    DatabaseDamage(
        "events_unreadable",
        "0 events are stored",
        f"UPDATE journal SET events = '\\x0190' WHERE last_sequence = {_MIDDLE}",
    ),
    DatabaseDamage(
        "rules_version",
        "use a newer one",
        f"UPDATE journal SET rules_version = 99 WHERE last_sequence = {_MIDDLE}",
    ),
    DatabaseDamage(
        "rules_version",
        "configured for",
        f"UPDATE journal SET rules_version = 0 WHERE last_sequence = {_MIDDLE}",
    ),
    DatabaseDamage(
        "command_missing",
        "are not stored",
        "DELETE FROM commands WHERE first > 100 AND first < 130",
    ),
    DatabaseDamage(
        "command_missing",
        "applied and not stored",
        "DELETE FROM commands WHERE first > 100 AND first < 130",
    ),
    DatabaseDamage(
        "command_twice",
        "command 30 is stored again",
        """INSERT INTO commands SELECT market_id, 30, last, accepted_at, bodies
        FROM commands WHERE first = 27""",
    ),
    DatabaseDamage(
        "commands_unreadable",
        "27 to 51: unknown version",
        "UPDATE commands SET bodies = '\\x09' WHERE first = 27",
    ),
    DatabaseDamage(
        "commands_unreadable",
        "1 commands are stored as 27 to 51",
        """UPDATE commands SET bodies = (SELECT bodies FROM commands WHERE first = 1)
        WHERE first = 27""",
    ),
    DatabaseDamage(
        "commands_missing",
        "are accepted, the last one stored",
        "UPDATE intake SET accepted = accepted + 1",
    ),
    DatabaseDamage(
        "events_differ",
        "replayed",
        """UPDATE commands SET bodies = (SELECT bodies FROM commands WHERE first = 27)
        WHERE first = 52""",
    ),
    DatabaseDamage("head", "sequence is", "UPDATE heads SET sequence = sequence - 1"),
    DatabaseDamage("head", "chain is", "UPDATE heads SET chain = set_byte(chain, 0, 1)"),
    DatabaseDamage("head", "applied is", "UPDATE heads SET applied = applied - 5"),
    DatabaseDamage("head", "accepted", "UPDATE heads SET applied = applied + 5"),
    DatabaseDamage("head", "state is", "UPDATE heads SET state = 4"),
    DatabaseDamage("head", "last_price is", "UPDATE heads SET last_price = last_price + 1"),
    DatabaseDamage("head", "epoch is 0", "UPDATE heads SET epoch = 0"),
    DatabaseDamage("head", "is missing", "DELETE FROM heads"),
    DatabaseDamage("head", "is missing", "DELETE FROM intake"),
    DatabaseDamage(
        "order_differs", "filled is", "UPDATE orders SET filled = filled + 1 WHERE number = 30"
    ),
    DatabaseDamage("order_differs", "status is", "UPDATE orders SET status = 4 WHERE status = 3"),
    DatabaseDamage("open_orders", "stored is", "UPDATE orders SET status = 1 WHERE status = 3"),
    DatabaseDamage(
        "open_orders",
        "stored is closed",
        """UPDATE orders SET status = 4
        WHERE number = (SELECT max(number) FROM orders WHERE status = 1)""",
    ),
    DatabaseDamage(
        "order_missing",
        "has no row",
        "DELETE FROM orders WHERE number = (SELECT min(number) FROM orders)",
    ),
    DatabaseDamage(
        "order_rows",
        "rows for",
        """INSERT INTO orders SELECT 999999, user_id, price, stop_price, display, expiry,
        quantity, filled, remaining, value, accepted_at, updated_at, updated_sequence,
        market_id, side, type, time_in_force, self_trade, status, post_only,
        client_order_id, reason FROM orders LIMIT 1""",
    ),
    DatabaseDamage(
        "trade_missing",
        "has no row",
        "DELETE FROM trades WHERE sequence = (SELECT min(sequence) FROM trades)",
    ),
    DatabaseDamage(
        "trade_differs",
        "price is",
        """UPDATE trades SET price = price + 1
        WHERE sequence = (SELECT max(sequence) FROM trades)""",
    ),
    DatabaseDamage(
        "trade_invented",
        "is in no journal row",
        """INSERT INTO trades SELECT sequence + 1, maker_order, maker_user, taker_order,
        taker_user, price, quantity, maker_fee, taker_fee, time, market_id, taker_side
        FROM trades WHERE sequence + 1 NOT IN (SELECT sequence FROM trades)
        AND sequence < (SELECT max(sequence) FROM trades) LIMIT 1""",
    ),
    DatabaseDamage(
        "trade_invented",
        "1 trades are beyond the journal",
        f"""INSERT INTO trades SELECT {_LAST} + 1, maker_order, maker_user, taker_order,
        taker_user, price, quantity, maker_fee, taker_fee, time, market_id, taker_side
        FROM trades LIMIT 1""",
    ),
    DatabaseDamage(
        "image_differs",
        "is not the replayed state",
        f"""UPDATE snapshots SET image = set_byte(image, length(image) - 3, 65)
        WHERE sequence = {_NEWEST}""",
    ),
    DatabaseDamage(
        "image_chain",
        "another chain or number",
        "UPDATE snapshots SET chain = set_byte(chain, 3, 1)",
    ),
    DatabaseDamage(
        "image_chain",
        "another chain or number",
        f"UPDATE snapshots SET applied = applied - 1 WHERE sequence = {_NEWEST}",
    ),
    DatabaseDamage(
        "image_place",
        "is inside a batch",
        f"""UPDATE snapshots SET sequence = (SELECT first_sequence FROM journal
        WHERE last_sequence > first_sequence LIMIT 1) WHERE sequence = {_NEWEST}""",
    ),
    DatabaseDamage(
        "image_place",
        "is beyond the journal",
        f"UPDATE snapshots SET sequence = sequence + 1 WHERE sequence = {_NEWEST}",
    ),
    DatabaseDamage(
        "client_id",
        "points at command 999999, which is not stored",
        f"UPDATE client_ids SET number = 999999 WHERE number = {_AN_ORDER}",
    ),
    DatabaseDamage(
        "client_id",
        "points at command 0, which is not stored",
        f"UPDATE client_ids SET number = 0 WHERE number = {_AN_ORDER}",
    ),
    DatabaseDamage(
        "client_id",
        "which does not carry it",
        f"UPDATE client_ids SET client_id = 'nobody' WHERE number = {_AN_ORDER}",
    ),
    DatabaseDamage(
        "client_id",
        "which does not carry it",
        f"""UPDATE client_ids SET number = (SELECT min(number) FROM client_ids WHERE kind = 2)
        WHERE number = {_AN_ORDER}""",
    ),
    DatabaseDamage(
        "client_id",
        ", of user",
        f"UPDATE client_ids SET user_id = user_id + 10 WHERE number = {_AN_ORDER}",
    ),
    DatabaseDamage(
        "client_id",
        ", of user",
        "UPDATE client_ids SET user_id = user_id + 10 WHERE kind = 2",
    ),
    DatabaseDamage(
        "client_id",
        "which has another digest",
        f"UPDATE client_ids SET digest = '\\x00' WHERE number = {_AN_ORDER}",
    ),
    DatabaseDamage(
        "client_id",
        "a CancelAll of user",
        "UPDATE client_ids SET user_id = user_id + 10 WHERE kind = 3",
    ),
    DatabaseDamage(
        "client_id",
        "a NewOrder of user",
        f"UPDATE client_ids SET number = {_AN_ORDER} WHERE kind = 3",
    ),
]

MIRROR = [
    MirrorDamage("mirror_order", "differs", "change a field", "orders"),
    MirrorDamage("mirror_torn", "does not add up", "remove a field", "orders"),
    MirrorDamage("mirror_torn", "does not add up", "remove a member", "bids"),
    MirrorDamage("mirror_depth", "depth", "change a field", "depth"),
    MirrorDamage("mirror_chain", "not the journal's", "another chain", "meta"),
    MirrorDamage("mirror_sequence", "where no batch ends", "another sequence", "meta"),
    MirrorDamage("mirror_header", "header", "another header", "meta"),
    MirrorDamage("mirror_book", "BUY book", "another score", "bids"),
    MirrorDamage("mirror_book", "SELL book", "another score", "asks"),
]

ELSEWHERE = {
    "engine_raised": "test_an_engine_that_raises_is_found",
    "image_unreadable": "test_an_oldest_image_that_cannot_be_read_is_found",
}
"""Planted by a test of its own in test_damage.py."""
