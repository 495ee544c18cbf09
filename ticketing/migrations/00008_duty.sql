-- +goose Up
-- The team on whose duty roster an incident is, '' where none looks after it.
ALTER TABLE ticketing_incidents ADD COLUMN team TEXT NOT NULL DEFAULT '';
CREATE INDEX ticketing_incidents_unacknowledged ON ticketing_incidents (team, id) WHERE status = 'open';

-- +goose Down
DROP INDEX ticketing_incidents_unacknowledged;
ALTER TABLE ticketing_incidents DROP COLUMN team;
