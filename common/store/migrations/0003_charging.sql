-- What messages of charged rooms and sessions cost nobody can dispute: one row for each, written once.

-- Who sat where in a charged room, so that a charge that comes after a restart still has its people.
CREATE TABLE charged_seats (
    conference TEXT   NOT NULL,
    seat       BIGINT NOT NULL,
    aor        TEXT   NOT NULL,
    PRIMARY KEY (conference, seat)
);

CREATE TABLE charged_messages (
    record      INTEGER PRIMARY KEY AUTOINCREMENT, -- its number, also in the file of lines
    conference  TEXT    NOT NULL,                  -- the session
    seat        BIGINT  NOT NULL,                  -- the sender's
    message_id  TEXT    NOT NULL,
    receivers   BIGINT  NOT NULL,                  -- to how many it was passed on
    octets      BIGINT  NOT NULL,
    charged     BIGINT  NOT NULL,                  -- octets to pay for: 0 of a message that did not arrive
    media_type  TEXT    NOT NULL,
    status      BIGINT  NOT NULL,                  -- 200, 0 for a sender that broke off, or the status of its refusal
    started_ms  BIGINT  NOT NULL,
    ended_ms    BIGINT  NOT NULL,
    line        INTEGER NOT NULL DEFAULT 0,        -- 1: its line is in the file
    -- A relay tells of a message until it hears that it is kept; the second time changes nothing.
    UNIQUE (conference, seat, message_id, started_ms, status)
);
CREATE INDEX charged_messages_lines ON charged_messages (record) WHERE line = 0;
