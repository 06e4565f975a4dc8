-- Circles: people who write to each other outside of a room. The public state of their group, who they are, and what
-- changed the group, for the devices it is for. No message is in it.
CREATE TABLE circles (
    circle     TEXT   NOT NULL PRIMARY KEY,
    revision   BIGINT NOT NULL,          -- grows by one with each change; whoever has not seen the last cannot change it
    era        BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    state      BLOB   NOT NULL,
    changed_ms BIGINT NOT NULL
);

CREATE TABLE circle_people (
    aor    TEXT NOT NULL,
    circle TEXT NOT NULL,
    PRIMARY KEY (aor, circle)
);
CREATE INDEX circle_people_circle ON circle_people (circle);

CREATE TABLE circle_log (
    circle      TEXT   NOT NULL,
    seq         BIGINT NOT NULL,         -- from 1
    message     BLOB   NOT NULL,         -- a commit, or a Remove of the focus
    tree        BLOB,                    -- after it, where it has Welcomes
    accepted_ms BIGINT NOT NULL,
    PRIMARY KEY (circle, seq)
);

-- Whom each change is for; with a Welcome, where it lets the device in.
CREATE TABLE circle_readers (
    circle  TEXT   NOT NULL,
    aor     TEXT   NOT NULL,
    device  TEXT   NOT NULL,
    seq     BIGINT NOT NULL,
    welcome BLOB,
    PRIMARY KEY (circle, aor, device, seq)
);
CREATE INDEX circle_readers_seq ON circle_readers (circle, seq);
