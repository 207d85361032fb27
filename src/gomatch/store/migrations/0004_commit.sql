-- Rows as the matcher sends them: the column order of gomatch.store.records.
CREATE TYPE order_row AS (
    market_id integer, number bigint, user_id bigint, client_order_id text, side smallint,
    type smallint, time_in_force smallint, price bigint, stop_price bigint, display bigint,
    expiry bigint, quantity bigint, filled bigint, remaining bigint, value bigint,
    status smallint, reason text, self_trade smallint, post_only boolean, accepted_at bigint,
    updated_at bigint, updated_sequence bigint
);
CREATE TYPE order_update_row AS (
    number bigint, price bigint, stop_price bigint, display bigint, expiry bigint,
    quantity bigint, filled bigint, remaining bigint, value bigint, status smallint, reason text,
    updated_at bigint, updated_sequence bigint
);
CREATE TYPE trade_row AS (
    market_id integer, sequence bigint, maker_order bigint, maker_user bigint, taker_order bigint,
    taker_user bigint, taker_side smallint, price bigint, quantity bigint, maker_fee bigint,
    taker_fee bigint, "time" bigint
);
-- Commands that came by the queue: as accepted they are a row of `commands` under the same numbers,
-- at the same time and with a body of this SHA-256.
CREATE TYPE source_row AS (first bigint, last bigint, accepted_at bigint, digest bytea);

-- The update of open orders. As a join with the market as a constant it could be, and was,
-- planned the wrong way round: all of the market's orders, each looked for in the batch. Two things
-- prevent that. The market comes out of the join, which leaves nothing but a lookup by primary key
-- for each row; and the function plans at every call, as a plan that was made while `orders` was
-- empty would be kept for the session.
CREATE FUNCTION gomatch_update_orders(p_market_id integer, p_updates order_update_row[])
RETURNS integer LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_updated integer;
BEGIN
    UPDATE orders AS o
       SET price = u.price, stop_price = u.stop_price, display = u.display, expiry = u.expiry,
           quantity = u.quantity, filled = u.filled, remaining = u.remaining, value = u.value,
           status = u.status, reason = u.reason, updated_at = u.updated_at,
           updated_sequence = u.updated_sequence
      FROM ROWS FROM (
               unnest(array_fill(p_market_id, ARRAY[cardinality(p_updates)])),
               unnest(p_updates))
           AS u (market_id, number, price, stop_price, display, expiry, quantity, filled,
                 remaining, value, status, reason, updated_at, updated_sequence)
     WHERE o.market_id = u.market_id AND o.number = u.number;
    GET DIAGNOSTICS v_updated = ROW_COUNT;
    RETURN v_updated;
END
$$;

-- The whole commit of a batch, one statement and so one transaction: no round trip of the matcher
-- lies inside it. PostgreSQL and not the queue says what was accepted, so that is compared before
-- anything. The head is the first write, and its lock is what makes commits serial; returns
-- false (and writes nothing) when it is not as the caller left it: then the caller is no longer
-- the market's leader.
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
    p_sources source_row[]
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
           state = p_state, last_price = p_last_price
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
