-- What operators and people did over HTTPS. The oldest rows go when there are too many.
CREATE TABLE deeds (
    id      BIGINT NOT NULL PRIMARY KEY,    -- grows by one
    at_ms   BIGINT NOT NULL,
    actor   TEXT   NOT NULL,                -- a person's address, or what proved that it was an operator
    action  TEXT   NOT NULL,                -- method and route
    subject TEXT   NOT NULL,                -- the path: of what
    source  TEXT   NOT NULL,                -- from which address
    result  TEXT   NOT NULL                 -- the status of the answer
);

-- What a person keeps here: contacts, phonebook, profile, privacy. One JSON text for each kind.
CREATE TABLE documents (
    owner      TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    version    BIGINT NOT NULL,             -- from 1, grows with each change: the ETag
    body       TEXT   NOT NULL,
    changed_ms BIGINT NOT NULL,
    PRIMARY KEY (owner, kind)
);
CREATE INDEX documents_kind ON documents (kind);
