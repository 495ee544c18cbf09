-- +goose Up
-- What silences hold back of an incident's notifications: since when (Unix
-- milliseconds, 0 where nothing), and which kind receivers lack ('opened'
-- where they do not know of the incident at all).
ALTER TABLE ticketing_incidents ADD COLUMN muted_at   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN muted_kind TEXT    NOT NULL DEFAULT '';
CREATE INDEX ticketing_incidents_muted ON ticketing_incidents (muted_at) WHERE muted_at > 0;

-- +goose Down
DROP INDEX ticketing_incidents_muted;
ALTER TABLE ticketing_incidents DROP COLUMN muted_kind;
ALTER TABLE ticketing_incidents DROP COLUMN muted_at;
