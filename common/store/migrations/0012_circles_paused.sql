-- Whether a device has to go from a circle's group before anybody may write there.
ALTER TABLE circles ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;
