-- What is open for a key is found by its generations.
-- +goose Up
DROP INDEX ticketing_alerts_open_key;

-- +goose Down
CREATE UNIQUE INDEX ticketing_alerts_open_key ON ticketing_alerts (key) WHERE status <> 'closed';
