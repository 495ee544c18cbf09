-- What is to be seen of a tenant's hosts from outside of them, and how that changed.
-- Times are Unix milliseconds; doc is JSON.

-- +goose Up
CREATE TABLE exposure_surface_hosts (
    tenant  TEXT    NOT NULL,
    zone    TEXT    NOT NULL,
    address TEXT    NOT NULL,
    item    TEXT    NOT NULL, -- of the CMDB, '' where it knows nothing there
    mac     TEXT    NOT NULL,
    state   TEXT    NOT NULL, -- present, stale or vanished
    seen    INTEGER NOT NULL,
    words   TEXT    NOT NULL, -- what it is found by, in lower case
    doc     TEXT    NOT NULL,
    PRIMARY KEY (tenant, zone, address)
);
CREATE INDEX exposure_surface_hosts_mac ON exposure_surface_hosts (tenant, zone, mac);
CREATE TABLE exposure_surface_changes (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT    NOT NULL,
    run     TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    address TEXT    NOT NULL,
    acked   INTEGER NOT NULL, -- when somebody looked at it, 0 before
    doc     TEXT    NOT NULL
);
CREATE INDEX exposure_surface_changes_at ON exposure_surface_changes (tenant, at);
CREATE TABLE exposure_surface_runs (
    run    TEXT    NOT NULL PRIMARY KEY,
    tenant TEXT    NOT NULL,
    task   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    doc    TEXT    NOT NULL -- what came of it
);
CREATE INDEX exposure_surface_runs_task ON exposure_surface_runs (task, at);

-- +goose Down
DROP TABLE exposure_surface_runs;
DROP TABLE exposure_surface_changes;
DROP TABLE exposure_surface_hosts;
