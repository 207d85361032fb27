-- Take the market's lease when it is free, has run out, or is the caller's own: returns the new
-- epoch, or NULL while another holder's lease runs. The epoch is raised in the lease and in the
-- head at once, so that from the end of this transaction the old leader's commits fail. Its
-- database sessions are ended first: one frozen inside a commit would hold the head's row.
CREATE FUNCTION gomatch_acquire_lease(
    p_market_id integer, p_holder text, p_microseconds bigint, p_terminate_milliseconds bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_lease leases;
    v_epoch bigint;
BEGIN
    SELECT * INTO v_lease FROM leases WHERE market_id = p_market_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'market % does not exist', p_market_id USING ERRCODE = 'GM001';
    END IF;
    -- A lease that ends later than any was ever given is left from a clock that was set back since.
    IF v_lease.holder <> p_holder AND v_lease.expires_at > gomatch_now()
       AND v_lease.expires_at < gomatch_now() + 10 * greatest(p_microseconds, 60000000) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_terminate_backend(a.pid, p_terminate_milliseconds)
       FROM lease_backends AS b
       JOIN pg_stat_activity AS a ON a.pid = b.pid AND a.backend_start = b.started_at
      WHERE b.market_id = p_market_id AND a.pid <> pg_backend_pid();
    DELETE FROM lease_backends WHERE market_id = p_market_id;
    UPDATE heads SET epoch = greatest(epoch, v_lease.epoch) + 1
     WHERE market_id = p_market_id
    RETURNING epoch INTO v_epoch;
    UPDATE leases
       SET holder = p_holder, epoch = v_epoch, expires_at = gomatch_now() + p_microseconds
     WHERE market_id = p_market_id;
    RETURN v_epoch;
END
$$;
