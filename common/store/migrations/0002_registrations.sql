-- Where people can be reached, as of the last REGISTER. A row says nothing of a connection: that one is gone with the
-- process, so after a restart only what came through a SIP core can be reached by it again.
CREATE TABLE registrations (
    aor        TEXT   NOT NULL,
    slot       TEXT   NOT NULL,         -- which binding: device and reg-id, or the Contact URI
    contact    TEXT   NOT NULL,         -- the Contact URI
    device     TEXT,                    -- +sip.instance
    reg_id     BIGINT,
    path       TEXT   NOT NULL,         -- JSON list of URIs, first hop first
    via_core   INTEGER NOT NULL,        -- 1: over a connection of the SIP core
    call_id    TEXT   NOT NULL,
    cseq       BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (aor, slot)
);
CREATE INDEX registrations_expiry ON registrations (expires_ms);

-- Attempts to register. The oldest rows go when there are too many. Never a credential.
CREATE TABLE registration_attempts (
    id      BIGINT NOT NULL PRIMARY KEY,    -- grows by one
    at_ms   BIGINT NOT NULL,
    aor     TEXT   NOT NULL,                -- as the request named it, proven or not
    device  TEXT,
    source  TEXT   NOT NULL,                -- from which address
    access  TEXT   NOT NULL,                -- what protected the connection
    status  BIGINT NOT NULL,                -- the status of the answer
    result  TEXT   NOT NULL                 -- in a word
);
CREATE INDEX registration_attempts_person ON registration_attempts (aor, id);
