-- When the certificate of somebody in a circle's group ends first, of those who do not have to go yet. Null: nobody's does.
-- Of a circle from before it is not known: it is looked up when next somebody asks.
ALTER TABLE circles ADD COLUMN ends_ms BIGINT DEFAULT 0;
