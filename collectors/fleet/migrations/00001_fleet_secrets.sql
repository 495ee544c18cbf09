-- +goose Up
CREATE TABLE fleet_secrets (
    id     TEXT PRIMARY KEY, -- of the task
    sealed TEXT NOT NULL     -- JSON of values by name, sealed
);

-- +goose Down
DROP TABLE fleet_secrets;
