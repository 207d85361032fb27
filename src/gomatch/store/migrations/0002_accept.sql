-- Called inside every accepting transaction: the place to reserve a user's funds. It may refuse
-- the whole batch by raising an exception.
CREATE FUNCTION gomatch_reserve(
    p_market_id integer, p_first bigint, p_last bigint, p_bodies bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
END
$$;

-- Accept p_count commands, packed in p_bodies, under the market's next numbers. The five arrays
-- are the client ids among them: user, kind, id, position in the batch, digest of the request.
-- All or nothing:
--   GM001 the market does not exist
--   GM002 accepted - applied would pass p_backlog_limit
--   GM003 a client id exists already
-- The market's row is locked first and client ids are inserted in one order, so that callers
-- wait in line and never for each other in a circle; the transaction is this one statement.
CREATE FUNCTION gomatch_accept(
    p_market_id integer,
    p_count integer,
    p_bodies bytea,
    p_backlog_limit bigint,
    p_users bigint[],
    p_kinds smallint[],
    p_client_ids text[],
    p_offsets integer[],
    p_digests bytea[],
    OUT first bigint,
    OUT last bigint,
    OUT accepted_at bigint
) LANGUAGE plpgsql AS $$
DECLARE
    v_applied bigint;
    v_claims integer := cardinality(p_client_ids);
    v_claimed integer;
BEGIN
    UPDATE intake AS i
       SET accepted = i.accepted + p_count,
           accepted_at = greatest(i.accepted_at, gomatch_now())
     WHERE i.market_id = p_market_id
    RETURNING i.accepted, i.accepted_at INTO last, accepted_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'market % does not exist', p_market_id USING ERRCODE = 'GM001';
    END IF;
    SELECT h.applied INTO v_applied FROM heads AS h WHERE h.market_id = p_market_id;
    IF last - v_applied > p_backlog_limit THEN
        RAISE EXCEPTION 'market % has % commands waiting, the limit is %',
            p_market_id, last - p_count - v_applied, p_backlog_limit USING ERRCODE = 'GM002';
    END IF;
    first := last - p_count + 1;
    IF v_claims > 0 THEN
        INSERT INTO client_ids (user_id, kind, client_id, market_id, number, digest, accepted_at)
        SELECT c.user_id, c.kind, c.client_id, p_market_id,
               gomatch_accept.first + c.position, c.digest, gomatch_accept.accepted_at
          FROM unnest(p_users, p_kinds, p_client_ids, p_offsets, p_digests)
               AS c (user_id, kind, client_id, position, digest)
         ORDER BY c.user_id, c.kind, c.client_id COLLATE "C"
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS v_claimed = ROW_COUNT;
        IF v_claimed <> v_claims THEN
            RAISE EXCEPTION '% of % client ids exist already', v_claims - v_claimed, v_claims
                USING ERRCODE = 'GM003';
        END IF;
    END IF;
    INSERT INTO commands (market_id, first, last, accepted_at, bodies)
    VALUES (p_market_id, gomatch_accept.first, gomatch_accept.last,
            gomatch_accept.accepted_at, p_bodies);
    PERFORM gomatch_reserve(p_market_id, first, last, p_bodies);
END
$$;
