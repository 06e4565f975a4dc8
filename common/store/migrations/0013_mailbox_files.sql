-- Files and large messages that wait for people: where their octets lie in the blob store, and what they are.
CREATE TABLE mailbox_files (
    number      INTEGER PRIMARY KEY AUTOINCREMENT, -- the order they came in; never used twice
    owner       TEXT    NOT NULL,                  -- whose mailbox; of a file somebody keeps for others, their own
    sender      TEXT    NOT NULL,
    kind        TEXT    NOT NULL,                  -- file or message
    transfer_id TEXT    NOT NULL,                  -- what its sender calls the transfer (RFC 5547)
    blob        TEXT    NOT NULL,                  -- its name in the blob store
    octets      BIGINT  NOT NULL,                  -- as they were sent
    sha256      TEXT    NOT NULL,                  -- of the octets as they were sent
    sha1        TEXT    NOT NULL,
    locked      INTEGER NOT NULL,                  -- 1: the blob lies under the mailbox's key; 0: exactly as sent
    head        BLOB    NOT NULL,                  -- what its sender says of it, under the mailbox's key
    accepted_ms BIGINT  NOT NULL,
    expires_ms  BIGINT  NOT NULL,
    fetched_ms  BIGINT,                            -- when its owner first had all of it
    UNIQUE (owner, sender, transfer_id),
    UNIQUE (owner, sender, sha256)
);
CREATE INDEX mailbox_files_expiring ON mailbox_files (expires_ms);
CREATE INDEX mailbox_files_blobs ON mailbox_files (blob);
