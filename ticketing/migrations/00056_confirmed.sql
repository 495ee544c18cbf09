-- +goose Up
-- Attackers of alerts that were confirmed are looked for twice a minute.
CREATE INDEX ticketing_alerts_confirmed ON ticketing_alerts (closed_at, id) WHERE resolution = 'true_positive';

-- +goose Down
DROP INDEX ticketing_alerts_confirmed;
