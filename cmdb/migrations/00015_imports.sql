-- +goose Up
-- What was changed by one file or one bulk change. The entries of the history
-- that it made name it, so that it can be taken back as a whole.
CREATE TABLE cmdb_imports (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    time      INTEGER NOT NULL, -- Unix milliseconds
    actor     TEXT NOT NULL,
    source    TEXT NOT NULL, -- such as the name of the file
    created   INTEGER NOT NULL, -- items
    updated   INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    undone_at INTEGER NOT NULL, -- Unix milliseconds, 0 where it is in force
    undone_by TEXT NOT NULL
);
ALTER TABLE cmdb_history ADD COLUMN import_id INTEGER NOT NULL DEFAULT 0;
CREATE INDEX cmdb_history_import ON cmdb_history (import_id, id) WHERE import_id > 0;

-- +goose Down
DROP INDEX cmdb_history_import;
ALTER TABLE cmdb_history DROP COLUMN import_id;
DROP TABLE cmdb_imports;
