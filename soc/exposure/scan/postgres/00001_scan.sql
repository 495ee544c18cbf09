-- Scans: what is to be scanned, what was, and what came of it. Times are Unix
-- milliseconds; doc is JSON.

-- +goose Up
CREATE TABLE exposure_scan_tasks (
    id     TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    doc    TEXT NOT NULL
);
CREATE TABLE exposure_scan_runs (
    id      TEXT    NOT NULL PRIMARY KEY,
    task    TEXT    NOT NULL, -- '' of a run that no task asked for
    tenant  TEXT    NOT NULL,
    state   TEXT    NOT NULL,
    created BIGINT NOT NULL,
    doc     TEXT    NOT NULL,
    orders  TEXT    NOT NULL  -- wire.Run without credentials
);
CREATE INDEX exposure_scan_runs_task ON exposure_scan_runs (task, created);
CREATE INDEX exposure_scan_runs_state ON exposure_scan_runs (state, created);
CREATE TABLE exposure_scan_results (
    run     TEXT    NOT NULL,
    seq     BIGINT NOT NULL, -- the scanner's own count
    kind    TEXT    NOT NULL,
    address TEXT    NOT NULL,
    port    BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    doc     TEXT    NOT NULL, -- wire.Result
    PRIMARY KEY (run, seq)
);
CREATE INDEX exposure_scan_results_kind ON exposure_scan_results (run, kind, seq);

-- +goose Down
DROP TABLE exposure_scan_results;
DROP TABLE exposure_scan_runs;
DROP TABLE exposure_scan_tasks;
