-- +goose Up
-- What is or was wrong with the suite itself. Times are Unix milliseconds.
CREATE TABLE watch_conditions (
    id         TEXT    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    key        TEXT    NOT NULL,           -- tells one from another; at most one with the key is not cleared
    source     TEXT    NOT NULL,           -- who holds it; '' where it is raised and cleared one by one
    severity   TEXT    NOT NULL,
    title      TEXT    NOT NULL,           -- JSON {zh,en}
    detail     TEXT    NOT NULL,           -- JSON {zh,en}
    fields     TEXT    NOT NULL,           -- JSON object
    since      INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    cleared_at INTEGER NOT NULL DEFAULT 0, -- 0 while it lasts
    alert_id   TEXT    NOT NULL DEFAULT '' -- of ticketing
);
CREATE UNIQUE INDEX watch_conditions_active ON watch_conditions (key) WHERE cleared_at = 0;
CREATE INDEX watch_conditions_since ON watch_conditions (since);

-- +goose Down
DROP TABLE watch_conditions;
