-- +goose Up
-- Alerts that tell of a configuration item that fails: they are grouped by who
-- depends on whom.
ALTER TABLE ticketing_alerts ADD COLUMN fault INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticketing_alerts_fault ON ticketing_alerts (item) WHERE fault = 1;
CREATE INDEX ticketing_alerts_faults_new ON ticketing_alerts (created_at) WHERE fault = 1;

-- +goose Down
DROP INDEX ticketing_alerts_faults_new;
DROP INDEX ticketing_alerts_fault;
ALTER TABLE ticketing_alerts DROP COLUMN fault;
