-- +goose Up
CREATE TABLE inputs (
    id         TEXT    PRIMARY KEY, -- stored with each event as icewatch.collector
    name       TEXT    NOT NULL,    -- unique among those that are not deleted
    kind       TEXT    NOT NULL,
    tenant     TEXT    NOT NULL,    -- slug; empty where the pipeline finds the owner
    zone       TEXT    NOT NULL,
    tags       TEXT    NOT NULL,    -- JSON list
    note       TEXT    NOT NULL,
    settings   TEXT    NOT NULL,    -- JSON of the kind's settings, without secrets
    secrets    TEXT    NOT NULL,    -- JSON, sealed; empty where there are none
    enabled    INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,    -- Unix milliseconds
    created_by TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT    NOT NULL,
    deleted_at INTEGER NOT NULL     -- 0 while it is there
);
CREATE UNIQUE INDEX inputs_name ON inputs (name) WHERE deleted_at = 0;
CREATE TABLE input_places (
    input    TEXT    NOT NULL,
    key      TEXT    NOT NULL,
    place    BLOB    NOT NULL,
    saved_at INTEGER NOT NULL,      -- Unix milliseconds
    PRIMARY KEY (input, key)
);

-- +goose Down
DROP TABLE input_places;
DROP TABLE inputs;
