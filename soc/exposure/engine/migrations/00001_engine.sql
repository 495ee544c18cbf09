-- Engines of other makers that scan. doc is JSON.

-- +goose Up
CREATE TABLE exposure_engines (
    id     TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    doc    TEXT NOT NULL
);

-- +goose Down
DROP TABLE exposure_engines;
