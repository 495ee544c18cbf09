-- +goose Up
-- The suppression that keeps an alert from being worked; '' for every other.
ALTER TABLE ticketing_alerts ADD COLUMN suppressed_by TEXT NOT NULL DEFAULT '';
CREATE INDEX ticketing_alerts_suppressed ON ticketing_alerts (suppressed_by, last_seen) WHERE suppressed_by <> '';

-- +goose Down
DROP INDEX ticketing_alerts_suppressed;
ALTER TABLE ticketing_alerts DROP COLUMN suppressed_by;
