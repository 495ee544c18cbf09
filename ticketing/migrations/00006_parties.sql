-- +goose Up
-- The addresses of the attacker and the victim, '' where they are not known.
ALTER TABLE ticketing_alerts ADD COLUMN attacker TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN victim   TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE ticketing_alerts DROP COLUMN victim;
ALTER TABLE ticketing_alerts DROP COLUMN attacker;
