-- +goose Up
-- What alerts there were about an item or a business system, for its risk.
CREATE INDEX ticketing_alerts_ci ON ticketing_alerts (ci_id, last_seen) WHERE ci_id <> '';
CREATE INDEX ticketing_alerts_system ON ticketing_alerts (system_id, last_seen) WHERE system_id <> '';

-- +goose Down
DROP INDEX ticketing_alerts_system;
DROP INDEX ticketing_alerts_ci;
