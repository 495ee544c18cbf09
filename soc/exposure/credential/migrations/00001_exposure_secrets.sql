-- +goose Up
CREATE TABLE exposure_secrets (
    id     TEXT PRIMARY KEY, -- of the task or engine
    sealed TEXT NOT NULL     -- JSON, sealed
);

-- +goose Down
DROP TABLE exposure_secrets;
