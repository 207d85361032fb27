-- The part of a commit that is not COPY: head, journal row, updates of open orders. The head is
-- the first write, and its lock is what makes commits serial; returns false (and writes nothing)
-- when it is not as the caller left it: then the caller is no longer the market's leader.
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
    p_numbers bigint[],
    p_prices bigint[],
    p_stop_prices bigint[],
    p_displays bigint[],
    p_expiries bigint[],
    p_quantities bigint[],
    p_filled bigint[],
    p_remaining bigint[],
    p_values bigint[],
    p_statuses smallint[],
    p_reasons text[],
    p_updated_at bigint[],
    p_updated_sequences bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_updated integer;
BEGIN
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
    IF cardinality(p_numbers) > 0 THEN
        UPDATE orders AS o
           SET price = u.price, stop_price = u.stop_price, display = u.display,
               expiry = u.expiry, quantity = u.quantity, filled = u.filled,
               remaining = u.remaining, value = u.value, status = u.status,
               reason = u.reason, updated_at = u.updated_at,
               updated_sequence = u.updated_sequence
          FROM unnest(p_numbers, p_prices, p_stop_prices, p_displays, p_expiries, p_quantities,
                      p_filled, p_remaining, p_values, p_statuses, p_reasons, p_updated_at,
                      p_updated_sequences)
               AS u (number, price, stop_price, display, expiry, quantity, filled, remaining,
                     value, status, reason, updated_at, updated_sequence)
         WHERE o.market_id = p_market_id AND o.number = u.number;
        GET DIAGNOSTICS v_updated = ROW_COUNT;
        IF v_updated <> cardinality(p_numbers) THEN
            RAISE EXCEPTION 'market %: % of % orders to update exist',
                p_market_id, v_updated, cardinality(p_numbers) USING ERRCODE = 'GM004';
        END IF;
    END IF;
    RETURN true;
END
$$;
