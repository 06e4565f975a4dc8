-- Devices that their person or an operator has taken back. They get no certificate, no seat and no KeyPackage any more.
CREATE TABLE revoked_devices (
    aor        TEXT   NOT NULL,
    device     TEXT   NOT NULL,
    revoked_ms BIGINT NOT NULL,
    PRIMARY KEY (aor, device)
);

-- When a last resort was handed out: then its device should leave a new one. Null for all others.
ALTER TABLE key_packages ADD COLUMN handed_ms BIGINT;
