-- The embedded database of an MRFC. Text names throughout, so that an operator can read it; times are
-- milliseconds since 1970, UTC. The same statements run on PostgreSQL (BLOB is BYTEA there).

-- What happened in each conference, in order. Replaying it rebuilds the conference. Rows are never changed.
CREATE TABLE conference_events (
    conference TEXT   NOT NULL,
    seq        BIGINT NOT NULL,         -- from 1, without gaps; a second owner of the conference collides here
    event      BLOB   NOT NULL,         -- JSON: {"v":1, ...}
    PRIMARY KEY (conference, seq)
);

-- The public state of a conference's MLS group, as of one event. No group secret is in it.
CREATE TABLE conference_groups (
    conference TEXT   NOT NULL PRIMARY KEY,
    seq        BIGINT NOT NULL,         -- the event that led to it
    state      BLOB   NOT NULL
);

-- KeyPackages (RFC 9420, 10). A row stays until the package has expired, so that none is taken twice.
CREATE TABLE key_packages (
    reference   BLOB    NOT NULL PRIMARY KEY,  -- names the package
    aor         TEXT    NOT NULL,
    device      TEXT    NOT NULL,
    ordinal     BIGINT  NOT NULL,              -- oldest first
    package     BLOB    NOT NULL,
    last_resort INTEGER NOT NULL,              -- 1: handed out again and again when no other is left
    expires_ms  BIGINT  NOT NULL,
    claimed_ms  BIGINT                         -- when it was handed out
);
CREATE INDEX key_packages_free ON key_packages (aor, device, last_resort, ordinal) WHERE claimed_ms IS NULL;
CREATE INDEX key_packages_expiry ON key_packages (expires_ms);

-- Numbers that never repeat, such as seats.
CREATE TABLE counters (
    name  TEXT   NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL               -- the last one given out
);

-- Device certificates that were issued.
CREATE TABLE certificates (
    serial     TEXT   NOT NULL PRIMARY KEY,
    aor        TEXT   NOT NULL,
    device     TEXT   NOT NULL,
    issued_ms  BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX certificates_owner ON certificates (aor, device);
