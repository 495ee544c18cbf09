-- +goose Up
-- What was seen in events and is no item of the CMDB.
CREATE TABLE cmdb_inbox (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant         TEXT NOT NULL, -- whose events it was seen in
    zone           TEXT NOT NULL, -- network zone, 'default' where the events name none
    kind           TEXT NOT NULL, -- 'address' or 'hostname'
    value          TEXT NOT NULL,
    other          TEXT NOT NULL, -- seen with it: a name of the address, or an address of the name
    state          TEXT NOT NULL, -- 'waiting', 'ignored' or 'approved'
    first_seen     INTEGER NOT NULL, -- Unix milliseconds, as the times below
    last_seen      INTEGER NOT NULL,
    events         INTEGER NOT NULL,
    sources        TEXT NOT NULL, -- JSON array of datasets
    ports          TEXT NOT NULL, -- JSON array of ports it was spoken to at
    ignored_until  INTEGER NOT NULL, -- 0 is for ever
    decided_by     TEXT NOT NULL,
    decided_at     INTEGER NOT NULL, -- 0 where nobody decided
    note           TEXT NOT NULL,
    item_id        TEXT NOT NULL, -- what was made of it
    reach_unit     TEXT NOT NULL DEFAULT '',
    reach_region   TEXT NOT NULL DEFAULT '',
    reach_industry TEXT NOT NULL DEFAULT '',
    reach_labels   TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX cmdb_inbox_key ON cmdb_inbox (tenant, zone, kind, value);
CREATE INDEX cmdb_inbox_state ON cmdb_inbox (state, id);

-- Up to where events were looked at.
CREATE TABLE cmdb_inbox_place (id INTEGER PRIMARY KEY, place INTEGER NOT NULL);

-- +goose Down
DROP TABLE cmdb_inbox_place;
DROP TABLE cmdb_inbox;
