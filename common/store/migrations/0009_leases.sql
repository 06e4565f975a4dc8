-- Who may write. The term grows with each change of hands; a writer of an older term is refused at commit.
CREATE TABLE leases (
    name       TEXT   NOT NULL PRIMARY KEY,
    holder     TEXT   NOT NULL,         -- who, in words an operator understands
    term       BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL          -- from then on anybody may take it
);
