-- Messages that wait for people, and which of a person's devices has how many of them.
CREATE TABLE mailbox (
    number       INTEGER PRIMARY KEY AUTOINCREMENT, -- the order they came in; never used twice
    owner        TEXT    NOT NULL,                  -- whose mailbox
    sender       TEXT    NOT NULL,
    message_id   TEXT    NOT NULL,                  -- what its sender calls it (RFC 5438), or a digest of its Call-ID
    accepted_ms  BIGINT  NOT NULL,
    expires_ms   BIGINT  NOT NULL,                  -- then its text goes
    forget_ms    BIGINT  NOT NULL,                  -- then the row goes: until then it is known when it comes again
    octets       BIGINT  NOT NULL,                  -- of its body
    locked       INTEGER NOT NULL,                  -- 1: the body too lies under the mailbox's key; 0: exactly as sent
    head         BLOB,                              -- its header fields, under the mailbox's key; NULL: its text is gone
    body         BLOB,
    delivered_ms BIGINT,                            -- when the first device took it
    told         INTEGER NOT NULL DEFAULT 0,        -- 1: its sender has heard that it was not delivered
    UNIQUE (owner, sender, message_id)
);
CREATE INDEX mailbox_expiring ON mailbox (expires_ms) WHERE head IS NOT NULL;
CREATE INDEX mailbox_waiting ON mailbox (owner, number) WHERE head IS NOT NULL;
CREATE INDEX mailbox_forgotten ON mailbox (forget_ms) WHERE head IS NULL;

-- Up to which number a device has them.
CREATE TABLE mailbox_cursors (
    owner  TEXT   NOT NULL,
    device TEXT   NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (owner, device)
);
