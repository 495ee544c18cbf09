-- +goose Up
-- How much the parts of the suite held on the disk over time.
CREATE TABLE storage_samples (
    at    INTEGER NOT NULL, -- Unix seconds
    part  TEXT    NOT NULL, -- lake/<class>, bus, state, …
    bytes INTEGER NOT NULL,
    PRIMARY KEY (at, part)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE storage_samples;
