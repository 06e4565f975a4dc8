-- A large message lies in the blob store: its row has the beginning of it as its body, and the name of all of it here.
ALTER TABLE mailbox ADD COLUMN blob TEXT;
CREATE INDEX mailbox_blobs ON mailbox (blob) WHERE blob IS NOT NULL;

-- What is fetched is a file; messages are with the others.
ALTER TABLE mailbox_files DROP COLUMN kind;
