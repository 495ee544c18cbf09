-- +goose Up
-- Whether an alert tells of a risk of focus, and until when it is gathered with
-- others before people are told of it, in Unix milliseconds; 0 is not. Those that
-- are only kept have the mark -1.
ALTER TABLE ticketing_alerts ADD COLUMN focus INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_alerts ADD COLUMN gathered INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticketing_alerts_focus ON ticketing_alerts (last_seen, id) WHERE focus = 1;
CREATE INDEX ticketing_alerts_gathered ON ticketing_alerts (gathered) WHERE gathered <> 0;

-- +goose Down
DROP INDEX ticketing_alerts_gathered;
DROP INDEX ticketing_alerts_focus;
ALTER TABLE ticketing_alerts DROP COLUMN gathered;
ALTER TABLE ticketing_alerts DROP COLUMN focus;
