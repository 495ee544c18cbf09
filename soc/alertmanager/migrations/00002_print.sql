-- Rows are read by tenant and fingerprint, as their key has them.
-- +goose Up
DROP INDEX alertmanager_pushed_print;

-- +goose Down
CREATE INDEX alertmanager_pushed_print ON alertmanager_pushed (fingerprint);
