-- What was said in conferences that keep it, in the order of each room, until everybody has it.
CREATE TABLE conference_log (
    conference  TEXT   NOT NULL,
    term        BIGINT NOT NULL, -- the relay's appointment
    n           BIGINT NOT NULL, -- counts within the term; not every number is here
    kind        TEXT   NOT NULL, -- message, or commit: a change of the group that later messages need
    author      TEXT   NOT NULL, -- the device that is not given it again; empty: the focus
    accepted_ms BIGINT NOT NULL,
    octets      BIGINT NOT NULL,
    cpim        BLOB   NOT NULL, -- exactly as it was relayed
    PRIMARY KEY (conference, term, n)
);

-- Up to where each device has it, by its own answers.
CREATE TABLE conference_cursors (
    conference TEXT   NOT NULL,
    device     TEXT   NOT NULL,
    term       BIGINT NOT NULL,
    n          BIGINT NOT NULL,
    PRIMARY KEY (conference, device)
);
