-- +goose Up
-- Whether an alert is held as flapping, and how many of its firings were counted
-- beyond the intake limit without each being worked.
ALTER TABLE ticketing_alerts ADD COLUMN flapping INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_alerts ADD COLUMN counted  INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticketing_alerts_flapping ON ticketing_alerts (id) WHERE flapping = 1;

-- +goose Down
DROP INDEX ticketing_alerts_flapping;
ALTER TABLE ticketing_alerts DROP COLUMN counted;
ALTER TABLE ticketing_alerts DROP COLUMN flapping;
