-- +goose Up
ALTER TABLE ticketing_incidents ADD COLUMN archived_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN archived_by TEXT    NOT NULL DEFAULT '';
CREATE INDEX ticketing_incidents_closed ON ticketing_incidents (closed_at) WHERE status = 'closed' AND archived_at = 0;

-- +goose Down
DROP INDEX ticketing_incidents_closed;
ALTER TABLE ticketing_incidents DROP COLUMN archived_by;
ALTER TABLE ticketing_incidents DROP COLUMN archived_at;
