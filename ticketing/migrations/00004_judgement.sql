-- +goose Up
-- What is made of an alert beside its priority: how far the attack got (0 where
-- nothing tells, 1 failed to 4 compromised), the furthest phase of the kill
-- chain, where it goes, what kind of threat, attack and risk it is. '' where it
-- is not known: so it stays for what there is already.
ALTER TABLE ticketing_alerts ADD COLUMN verdict   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_alerts ADD COLUMN phase     TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN direction TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN threat    TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN attack    TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN risk      TEXT NOT NULL DEFAULT ''; -- codes of the tiers, each with a slash after it
ALTER TABLE ticketing_incidents ADD COLUMN verdict INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN phase   TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE ticketing_incidents DROP COLUMN phase;
ALTER TABLE ticketing_incidents DROP COLUMN verdict;
ALTER TABLE ticketing_alerts DROP COLUMN risk;
ALTER TABLE ticketing_alerts DROP COLUMN attack;
ALTER TABLE ticketing_alerts DROP COLUMN threat;
ALTER TABLE ticketing_alerts DROP COLUMN direction;
ALTER TABLE ticketing_alerts DROP COLUMN phase;
ALTER TABLE ticketing_alerts DROP COLUMN verdict;
