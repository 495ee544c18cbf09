-- +goose Up
-- Topologies that people drew. What a drawing says is in its versions; the row
-- names the one in force.
CREATE TABLE cmdb_drawings (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    search     TEXT    NOT NULL, -- name, scenario and description, lower case
    scenario   TEXT    NOT NULL,
    owner      TEXT    NOT NULL, -- id of a user
    owner_name TEXT    NOT NULL,
    shared     INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    deleted    INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    updated_at INTEGER NOT NULL,
    updated_by TEXT    NOT NULL
);
CREATE INDEX cmdb_drawings_updated ON cmdb_drawings (updated_at, id);

CREATE TABLE cmdb_drawing_versions (
    drawing  TEXT    NOT NULL REFERENCES cmdb_drawings (id) ON DELETE CASCADE,
    revision INTEGER NOT NULL,
    content  TEXT    NOT NULL, -- JSON
    actor    TEXT    NOT NULL,
    action   TEXT    NOT NULL CHECK (action IN ('created', 'updated', 'deleted', 'restored')),
    at       INTEGER NOT NULL, -- Unix milliseconds
    PRIMARY KEY (drawing, revision)
);

-- The items of the version in force: whether somebody may see any of them
-- decides whether he sees that the drawing is there.
CREATE TABLE cmdb_drawing_items (
    drawing TEXT NOT NULL REFERENCES cmdb_drawings (id) ON DELETE CASCADE,
    item    TEXT NOT NULL,
    PRIMARY KEY (drawing, item)
) WITHOUT ROWID;
CREATE INDEX cmdb_drawing_items_item ON cmdb_drawing_items (item);

-- +goose Down
DROP TABLE cmdb_drawing_items;
DROP TABLE cmdb_drawing_versions;
DROP TABLE cmdb_drawings;
