-- +goose Up
CREATE TABLE slow_searches (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL, -- Unix milliseconds, when it began
    who     TEXT    NOT NULL,
    kind    TEXT    NOT NULL, -- rows, histogram, fields, values, …
    query   TEXT    NOT NULL,
    start   INTEGER NOT NULL, -- of the time range, Unix milliseconds
    stop    INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    rows    INTEGER NOT NULL,
    outcome TEXT    NOT NULL
);

-- +goose Down
DROP TABLE slow_searches;
