-- Works with programs of schema 4.
--
-- What an operator keeps: which Market of which cluster owns a symbol, what it has asked of the
-- market, and under which term of leadership it writes. And why a market is in its state.

-- The oldest schema whose programs work on the database after this migration; NULL: the
-- migration's own.
ALTER TABLE schema_migrations ADD COLUMN works_with integer;

-- held: the Market exists. Otherwise it was deleted and its data retained.
-- requested_state, resume: the last that the operator acted on.
-- removing: the market was sealed and its rows are being deleted.
CREATE TABLE claims (
    symbol text COLLATE "C" PRIMARY KEY REFERENCES markets (symbol),
    installation text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    uid text COLLATE "C" NOT NULL,
    held boolean NOT NULL,
    claimed_at bigint NOT NULL,
    requested_state smallint,
    resume text,
    removing boolean NOT NULL DEFAULT false
);
CREATE INDEX claims_installation ON claims (installation);

-- The newest term of leadership among an installation's operators. Whoever writes for one locks its
-- row for share, so that no write of an older term ends after a newer one has begun.
CREATE TABLE operator_terms (
    installation text COLLATE "C" PRIMARY KEY,
    term bigint NOT NULL
);

-- What a deleted market has left in servers that were away.
CREATE TABLE leftovers (
    installation text COLLATE "C" NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    queue boolean NOT NULL,
    cache boolean NOT NULL,
    noted_at bigint NOT NULL,
    PRIMARY KEY (installation, symbol)
);

-- The reason of the last change of state; empty: none yet, or one by a matcher that gives none.
ALTER TABLE heads ADD COLUMN state_reason text COLLATE "C" NOT NULL DEFAULT '';

-- As in migration 0004, and with the reason of the last change of state in the batch; empty when
-- there was none.
CREATE FUNCTION gomatch_commit(
    p_market_id integer,
    p_epoch bigint,
    p_previous_sequence bigint,
    p_previous_chain bytea,
    p_first_number bigint,
    p_last_number bigint,
    p_first_sequence bigint,
    p_last_sequence bigint,
    p_time bigint,
    p_rules_version integer,
    p_events bytea,
    p_chain bytea,
    p_state smallint,
    p_last_price bigint,
    p_skipped bigint[],
    p_new_orders order_row[],
    p_order_updates order_update_row[],
    p_trades trade_row[],
    p_sources source_row[],
    p_state_reason text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_updated integer;
    v_foreign bigint;
BEGIN
    IF cardinality(p_sources) > 0 THEN
        SELECT min(s.first) INTO v_foreign
          FROM unnest(p_sources) AS s
          LEFT JOIN commands AS c ON c.market_id = p_market_id AND c.first = s.first
         WHERE (c.last, c.accepted_at, sha256(c.bodies))
               IS DISTINCT FROM (s.last, s.accepted_at, s.digest);
        IF v_foreign IS NOT NULL THEN
            RAISE EXCEPTION 'market %: what came as commands % and on was never accepted as that',
                p_market_id, v_foreign USING ERRCODE = 'GM005', DETAIL = v_foreign::text;
        END IF;
    END IF;
    UPDATE heads
       SET applied = p_last_number, sequence = p_last_sequence, chain = p_chain,
           state = p_state, last_price = p_last_price,
           state_reason = CASE WHEN p_state_reason <> '' THEN p_state_reason
                               WHEN state = p_state THEN state_reason ELSE '' END
     WHERE market_id = p_market_id AND epoch = p_epoch AND sequence = p_previous_sequence
       AND applied = p_first_number - 1 AND chain = p_previous_chain;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO journal (market_id, first_number, last_number, first_sequence, last_sequence,
                         epoch, time, rules_version, chain, skipped, events)
    VALUES (p_market_id, p_first_number, p_last_number, p_first_sequence, p_last_sequence,
            p_epoch, p_time, p_rules_version, p_chain, p_skipped, p_events);
    IF cardinality(p_new_orders) > 0 THEN
        INSERT INTO orders (
            market_id, number, user_id, client_order_id, side, type, time_in_force, price,
            stop_price, display, expiry, quantity, filled, remaining, value, status, reason,
            self_trade, post_only, accepted_at, updated_at, updated_sequence)
        SELECT * FROM unnest(p_new_orders);
    END IF;
    IF cardinality(p_order_updates) > 0 THEN
        v_updated := gomatch_update_orders(p_market_id, p_order_updates);
        IF v_updated <> cardinality(p_order_updates) THEN
            RAISE EXCEPTION 'market %: % of % orders to update exist',
                p_market_id, v_updated, cardinality(p_order_updates) USING ERRCODE = 'GM004';
        END IF;
    END IF;
    IF cardinality(p_trades) > 0 THEN
        INSERT INTO trades (
            market_id, sequence, maker_order, maker_user, taker_order, taker_user, taker_side,
            price, quantity, maker_fee, taker_fee, time)
        SELECT * FROM unnest(p_trades);
    END IF;
    RETURN true;
END
$$;

-- For matchers of the version before, which give no reason.
CREATE OR REPLACE FUNCTION gomatch_commit(
    p_market_id integer,
    p_epoch bigint,
    p_previous_sequence bigint,
    p_previous_chain bytea,
    p_first_number bigint,
    p_last_number bigint,
    p_first_sequence bigint,
    p_last_sequence bigint,
    p_time bigint,
    p_rules_version integer,
    p_events bytea,
    p_chain bytea,
    p_state smallint,
    p_last_price bigint,
    p_skipped bigint[],
    p_new_orders order_row[],
    p_order_updates order_update_row[],
    p_trades trade_row[],
    p_sources source_row[]
) RETURNS boolean LANGUAGE sql
    RETURN gomatch_commit(
        p_market_id, p_epoch, p_previous_sequence, p_previous_chain, p_first_number,
        p_last_number, p_first_sequence, p_last_sequence, p_time, p_rules_version, p_events,
        p_chain, p_state, p_last_price, p_skipped, p_new_orders, p_order_updates, p_trades,
        p_sources, '');
