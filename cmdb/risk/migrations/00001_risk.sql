-- The risk of the CMDB's items. score, level (0 low to 3 compromised) and the
-- counts are of result, which is JSON. The columns from exposure on are what a
-- system's own risk is made of besides. moving is 1 where time alone changes the
-- score. Times are Unix milliseconds.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE cmdb_risk (
    item_id    TEXT    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,             -- asset, system or unit
    above      TEXT    NOT NULL,             -- JSON list of the ids whose risk it is part of
    score      INTEGER NOT NULL,
    level      INTEGER NOT NULL,
    alerts     INTEGER NOT NULL,             -- that are open
    incidents  INTEGER NOT NULL,             -- that these belong to
    findings   INTEGER NOT NULL,
    exposure   INTEGER NOT NULL,             -- 0 isolated to 3 internet
    doors      INTEGER NOT NULL,
    controls   INTEGER NOT NULL,
    heard_at   INTEGER NOT NULL,             -- when logs came from it last, 0 never
    moving     INTEGER NOT NULL,
    scored_at  INTEGER NOT NULL,
    result     TEXT    NOT NULL
) WITHOUT ROWID;
-- +goose StatementEnd
CREATE INDEX cmdb_risk_score ON cmdb_risk (kind, score, item_id);
CREATE INDEX cmdb_risk_moving ON cmdb_risk (item_id) WHERE moving = 1;

-- The score at the end of each day on which it changed.
-- +goose StatementBegin
CREATE TABLE cmdb_risk_days (
    item_id TEXT    NOT NULL,
    day     INTEGER NOT NULL,                -- days since 1970-01-01, UTC
    score   INTEGER NOT NULL,
    level   INTEGER NOT NULL,
    PRIMARY KEY (item_id, day)
) WITHOUT ROWID;
-- +goose StatementEnd

-- How far the work has come.
CREATE TABLE cmdb_risk_marks (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);

-- +goose Down
DROP TABLE cmdb_risk_marks;
DROP TABLE cmdb_risk_days;
DROP TABLE cmdb_risk;
