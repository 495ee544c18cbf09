-- What is over for long is looked for, and nothing that still fires.
-- +goose Up
DROP INDEX alertmanager_pushed_age;
CREATE INDEX alertmanager_pushed_age ON alertmanager_pushed (updated_at) WHERE over = firing;

-- +goose Down
DROP INDEX alertmanager_pushed_age;
CREATE INDEX alertmanager_pushed_age ON alertmanager_pushed (updated_at);
