-- Times are bigint microseconds since the Unix epoch (UTC), prices ticks, quantities lots.
-- Packed bytes (bodies, events, image) are stored as they are: compressing them would cost more
-- processor time in the accepting and committing transactions than the disk they would save.

CREATE FUNCTION gomatch_now() RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;

CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    created_at bigint NOT NULL
);

CREATE TABLE api_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    scopes text[] NOT NULL,
    label text NOT NULL,
    rate_limit double precision,
    created_at bigint NOT NULL,
    revoked_at bigint
);
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE markets (
    market_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol text COLLATE "C" NOT NULL UNIQUE,
    definition jsonb NOT NULL,
    managed_by text NOT NULL,
    created_at bigint NOT NULL
);

-- intake, heads and leases are three tables so that accepting, committing and renewing never
-- wait for each other. One row a market, updated all the time: the free space keeps the updates
-- in their page (HOT).
CREATE TABLE intake (
    market_id integer PRIMARY KEY REFERENCES markets,
    accepted bigint NOT NULL DEFAULT 0 CHECK (accepted >= 0),
    accepted_at bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE TABLE heads (
    market_id integer PRIMARY KEY REFERENCES markets,
    applied bigint NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 0,
    chain bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    state smallint NOT NULL DEFAULT 1,
    last_price bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

CREATE TABLE leases (
    market_id integer PRIMARY KEY REFERENCES markets,
    holder text NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 0,
    expires_at bigint NOT NULL DEFAULT 0,
    refresh_requested bigint NOT NULL DEFAULT 0,
    refresh_done bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

-- The database sessions of a market's leader, ended by whoever takes over. A process id alone
-- may have been given to somebody else meanwhile, so the session's start is kept with it.
CREATE TABLE lease_backends (
    market_id integer NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL,
    PRIMARY KEY (market_id, pid)
);

-- One row for each accepted batch.
CREATE TABLE commands (
    market_id integer NOT NULL,
    first bigint NOT NULL,
    last bigint NOT NULL,
    accepted_at bigint NOT NULL,
    bodies bytea NOT NULL,
    PRIMARY KEY (market_id, first)
);
ALTER TABLE commands ALTER COLUMN bodies SET STORAGE EXTERNAL;

CREATE TABLE client_ids (
    user_id bigint NOT NULL,
    number bigint NOT NULL,
    accepted_at bigint NOT NULL,
    market_id integer NOT NULL,
    kind smallint NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (user_id, kind, client_id)
);

-- One row for each applied batch. A batch without commands (orders that expired while the market
-- was idle) has last_number = first_number - 1.
CREATE TABLE journal (
    market_id integer NOT NULL,
    first_number bigint NOT NULL,
    last_number bigint NOT NULL,
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL,
    epoch bigint NOT NULL,
    time bigint NOT NULL,
    rules_version integer NOT NULL,
    chain bytea NOT NULL,
    skipped bigint[] NOT NULL DEFAULT '{}',
    events bytea NOT NULL,
    PRIMARY KEY (market_id, last_sequence),
    CHECK (last_sequence >= first_sequence AND last_number >= first_number - 1)
);
ALTER TABLE journal ALTER COLUMN events SET STORAGE EXTERNAL;
CREATE INDEX journal_numbers ON journal (market_id, last_number);
CREATE INDEX journal_skipped ON journal (market_id, last_sequence) WHERE skipped <> '{}';

CREATE TABLE snapshots (
    market_id integer NOT NULL,
    applied bigint NOT NULL,
    sequence bigint NOT NULL,
    time bigint NOT NULL,
    chain bytea NOT NULL,
    image bytea NOT NULL,
    PRIMARY KEY (market_id, sequence)
);
ALTER TABLE snapshots ALTER COLUMN image SET STORAGE EXTERNAL;

-- For queries only; the engine is never restored from it.
CREATE TABLE orders (
    number bigint NOT NULL,
    user_id bigint NOT NULL,
    price bigint NOT NULL,
    stop_price bigint NOT NULL,
    display bigint NOT NULL,
    expiry bigint NOT NULL,
    quantity bigint NOT NULL,
    filled bigint NOT NULL,
    remaining bigint NOT NULL,
    value bigint NOT NULL,
    accepted_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    updated_sequence bigint NOT NULL,
    market_id integer NOT NULL,
    side smallint NOT NULL,
    type smallint NOT NULL,
    time_in_force smallint NOT NULL,
    self_trade smallint NOT NULL,
    status smallint NOT NULL,
    post_only boolean NOT NULL,
    client_order_id text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    PRIMARY KEY (market_id, number)
) WITH (fillfactor = 60);
CREATE INDEX orders_user ON orders (user_id, market_id, number);
CREATE INDEX orders_open ON orders (user_id, market_id, number) WHERE status IN (1, 2, 7);

CREATE TABLE trades (
    sequence bigint NOT NULL,
    maker_order bigint NOT NULL,
    maker_user bigint NOT NULL,
    taker_order bigint NOT NULL,
    taker_user bigint NOT NULL,
    price bigint NOT NULL,
    quantity bigint NOT NULL,
    maker_fee bigint NOT NULL,
    taker_fee bigint NOT NULL,
    time bigint NOT NULL,
    market_id integer NOT NULL,
    taker_side smallint NOT NULL,
    PRIMARY KEY (market_id, sequence)
);
CREATE INDEX trades_maker ON trades (maker_user, market_id, sequence);
CREATE INDEX trades_taker ON trades (taker_user, market_id, sequence);

-- Sessions whose orders are cancelled when they stop renewing.
CREATE TABLE disconnects (
    session_id text COLLATE "C" PRIMARY KEY,
    user_id bigint NOT NULL,
    market_ids integer[] NOT NULL,
    expires_at bigint NOT NULL
) WITH (fillfactor = 50);
