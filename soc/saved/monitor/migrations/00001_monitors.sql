-- +goose Up
-- Times are Unix milliseconds, 0 where there is none.
CREATE TABLE monitors (
    id         TEXT   NOT NULL PRIMARY KEY,
    owner      TEXT   NOT NULL, -- user id: in whose name it runs
    owner_name TEXT   NOT NULL,
    bound      TEXT   NOT NULL, -- JSON array of tenants it was narrowed to; empty for all of the owner's
    name       TEXT   NOT NULL,
    doc        TEXT   NOT NULL, -- what it says, JSON
    search_rev BIGINT NOT NULL, -- revision of the saved search it was made from, 0 where there is none
    enabled    BIGINT NOT NULL,
    paused     TEXT   NOT NULL, -- why it does not run although it is enabled
    failures   BIGINT NOT NULL, -- in a row
    due_at     BIGINT NOT NULL, -- the next time of its schedule
    revision   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX monitors_name ON monitors (owner, name);
CREATE INDEX monitors_due ON monitors (enabled, due_at);

CREATE TABLE monitor_runs (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    monitor      TEXT    NOT NULL,
    due_at       BIGINT  NOT NULL,
    started_at   BIGINT  NOT NULL,
    took_ms      BIGINT  NOT NULL,
    window_start BIGINT  NOT NULL,
    window_end   BIGINT  NOT NULL,
    rows         BIGINT  NOT NULL,
    value        TEXT    NOT NULL, -- what a condition on a field looked at; '' where there is none
    outcome      TEXT    NOT NULL, -- running, met, not_met or failed
    error        TEXT    NOT NULL,
    occurrence   TEXT    NOT NULL, -- id of what was raised
    export       TEXT    NOT NULL, -- id of the export that was begun
    manual       BIGINT  NOT NULL,
    dry          BIGINT  NOT NULL, -- looked only, did nothing
    missed       BIGINT  NOT NULL  -- times of the schedule before this one that did not run
);
CREATE INDEX monitor_runs_of ON monitor_runs (monitor, id);
CREATE INDEX monitor_runs_export ON monitor_runs (export) WHERE export <> '';

-- +goose Down
DROP TABLE monitor_runs;
DROP TABLE monitors;
