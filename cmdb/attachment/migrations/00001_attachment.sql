-- +goose Up
-- Files of items. What they hold lies beside the database, by its hash.
CREATE TABLE cmdb_attachments (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id    TEXT NOT NULL,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size       INTEGER NOT NULL, -- bytes
    type       TEXT NOT NULL, -- media type
    added_by   TEXT NOT NULL,
    added_at   INTEGER NOT NULL, -- Unix milliseconds
    removed_by TEXT NOT NULL,
    removed_at INTEGER NOT NULL -- 0 where it is there
);
CREATE INDEX cmdb_attachments_item ON cmdb_attachments (item_id, id);
CREATE INDEX cmdb_attachments_sha256 ON cmdb_attachments (sha256);

-- +goose Down
DROP TABLE cmdb_attachments;
