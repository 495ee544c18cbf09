-- What is wrong with assets. level is 1 (informational) to 5 (critical); times are
-- Unix milliseconds, 0 where there is none; doc is JSON.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE exposure_findings (
    id             TEXT    NOT NULL PRIMARY KEY, -- of tenant, asset, weakness and place
    tenant         TEXT    NOT NULL,
    item_id        TEXT    NOT NULL, -- of the CMDB, '' where it knows nothing there
    system_id      TEXT    NOT NULL,
    unit_id        TEXT    NOT NULL, -- organisation of the CMDB
    zone           TEXT    NOT NULL,
    host           TEXT    NOT NULL, -- address or name
    port           INTEGER NOT NULL,
    weakness       TEXT    NOT NULL, -- a CVE id, else the engine's own id of the check
    state          TEXT    NOT NULL,
    level          INTEGER NOT NULL,
    priority       INTEGER NOT NULL, -- 0 to 100
    owner          TEXT    NOT NULL,
    engines        TEXT    NOT NULL, -- JSON list
    exploited      INTEGER NOT NULL,
    attacked_at    INTEGER NOT NULL, -- when an attack on it was seen last
    first_seen     INTEGER NOT NULL,
    last_seen      INTEGER NOT NULL,
    due_at         INTEGER NOT NULL,
    closed_at      INTEGER NOT NULL,
    until          INTEGER NOT NULL, -- of an exception
    reminded       INTEGER NOT NULL, -- 1 before the deadline, 2 after it
    revision       INTEGER NOT NULL,
    words          TEXT    NOT NULL, -- what it is found by, in lower case
    doc            TEXT    NOT NULL,
    reach_unit     TEXT    NOT NULL DEFAULT '',
    reach_region   TEXT    NOT NULL DEFAULT '',
    reach_industry TEXT    NOT NULL DEFAULT '',
    reach_labels   TEXT    NOT NULL DEFAULT ''
);
-- +goose StatementEnd
CREATE INDEX exposure_findings_state ON exposure_findings (state, priority);
CREATE INDEX exposure_findings_item ON exposure_findings (item_id, state);
CREATE INDEX exposure_findings_due ON exposure_findings (due_at) WHERE due_at > 0;
CREATE INDEX exposure_findings_weakness ON exposure_findings (weakness);
CREATE INDEX exposure_findings_closed ON exposure_findings (closed_at) WHERE closed_at > 0;

-- What happened to them. before and after are the rows, for undo.
-- +goose StatementBegin
CREATE TABLE exposure_finding_history (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    finding  TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    comment  TEXT    NOT NULL,
    change   TEXT    NOT NULL, -- what was done at once, '' where it cannot be undone
    before   TEXT    NOT NULL, -- JSON, '' where it is new
    revision INTEGER NOT NULL, -- of the finding, after it
    undone   INTEGER NOT NULL DEFAULT 0
);
-- +goose StatementEnd
CREATE INDEX exposure_finding_history_finding ON exposure_finding_history (finding, id);
CREATE INDEX exposure_finding_history_change ON exposure_finding_history (change) WHERE change <> '';

CREATE TABLE exposure_finding_marks (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);

-- +goose Down
DROP TABLE exposure_finding_marks;
DROP TABLE exposure_finding_history;
DROP TABLE exposure_findings;
