-- +goose Up
-- The security level of the data that an alert is about, or the highest of an
-- incident's alerts: judged when the alert fires. 0 is none that is known.
ALTER TABLE ticketing_alerts ADD COLUMN data_level INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN data_level INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticketing_alerts_data_level ON ticketing_alerts (data_level, last_seen) WHERE data_level > 0;
CREATE INDEX ticketing_incidents_data_level ON ticketing_incidents (data_level, opened_at) WHERE data_level > 0;

-- +goose Down
DROP INDEX ticketing_incidents_data_level;
DROP INDEX ticketing_alerts_data_level;
ALTER TABLE ticketing_incidents DROP COLUMN data_level;
ALTER TABLE ticketing_alerts DROP COLUMN data_level;
