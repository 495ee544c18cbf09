-- +goose Up
-- Items that turned out to be one. doc has both as they were before, what referred to
-- the one that went, and the relations of all of them, so that all of it can be had back.
CREATE TABLE cmdb_merges (
    id        TEXT    PRIMARY KEY,
    time      INTEGER NOT NULL, -- Unix milliseconds
    actor     TEXT    NOT NULL,
    tenant    TEXT    NOT NULL,
    keep_id   TEXT    NOT NULL,
    gone_id   TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    doc       TEXT    NOT NULL, -- JSON
    undone_at INTEGER NOT NULL, -- Unix milliseconds, 0 where it is in force
    undone_by TEXT    NOT NULL
);
CREATE INDEX cmdb_merges_time ON cmdb_merges (time);
CREATE INDEX cmdb_merges_keep ON cmdb_merges (keep_id);
CREATE INDEX cmdb_merges_gone ON cmdb_merges (gone_id);

-- +goose Down
DROP TABLE cmdb_merges;
