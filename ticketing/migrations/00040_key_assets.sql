-- +goose Up
-- Whether an alert, or one of an incident's alerts, is about a key asset: judged
-- when the alert fires.
ALTER TABLE ticketing_alerts ADD COLUMN key_asset INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN key_asset INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticketing_alerts_key_asset ON ticketing_alerts (last_seen, id) WHERE key_asset = 1;
CREATE INDEX ticketing_incidents_key_asset ON ticketing_incidents (opened_at, id) WHERE key_asset = 1;

-- +goose Down
DROP INDEX ticketing_incidents_key_asset;
DROP INDEX ticketing_alerts_key_asset;
ALTER TABLE ticketing_incidents DROP COLUMN key_asset;
ALTER TABLE ticketing_alerts DROP COLUMN key_asset;
