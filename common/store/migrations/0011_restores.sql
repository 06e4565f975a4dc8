-- Conferences of a backup that was put back. What happened after the backup is not known here, but to their members: each
-- begins anew, with a term and an era that nobody has seen, before anybody is let in.
CREATE TABLE restored_conferences (
    conference  TEXT   NOT NULL PRIMARY KEY,
    restored_ms BIGINT NOT NULL
);
