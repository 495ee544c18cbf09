-- +goose Up
-- When each source sends how much. Times are Unix milliseconds.
CREATE TABLE rhythm_sources (
    id           TEXT    NOT NULL PRIMARY KEY, -- of tenant, dataset and source
    tenant       TEXT    NOT NULL,
    dataset      TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    facts        TEXT    NOT NULL,             -- JSON: what its events tell of its origin
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    silent_since INTEGER NOT NULL DEFAULT 0,   -- 0: it is not
    flood_since  INTEGER NOT NULL DEFAULT 0,
    model        TEXT    NOT NULL              -- JSON: what was learnt
);

-- +goose Down
DROP TABLE rhythm_sources;
