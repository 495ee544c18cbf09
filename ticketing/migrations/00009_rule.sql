-- +goose Up
-- The alerts of one rule, the newest first, without a look at all others. When
-- an alert was made never changes, so that its firings leave this index alone.
CREATE INDEX ticketing_alerts_rule ON ticketing_alerts (rule_id, created_at, id);

-- +goose Down
DROP INDEX ticketing_alerts_rule;
