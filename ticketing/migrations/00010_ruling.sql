-- +goose Up
-- Whether the priority policy says that nobody is told of the alert.
ALTER TABLE ticketing_alerts ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticketing_alerts_muted ON ticketing_alerts (id) WHERE muted = 1;

-- +goose Down
DROP INDEX ticketing_alerts_muted;
ALTER TABLE ticketing_alerts DROP COLUMN muted;
