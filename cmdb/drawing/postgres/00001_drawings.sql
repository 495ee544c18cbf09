-- +goose Up
-- The tables of ../migrations as PostgreSQL has them.
-- Topologies that people drew. What a drawing says is in its versions; the row
-- names the one in force.
CREATE TABLE cmdb_drawings (
    id         TEXT COLLATE "C" PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL,
    search     TEXT COLLATE "C" NOT NULL, -- name, scenario and description, lower case
    scenario   TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL, -- id of a user
    owner_name TEXT COLLATE "C" NOT NULL,
    shared     BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    deleted    BIGINT NOT NULL,
    created_at BIGINT NOT NULL, -- Unix milliseconds
    updated_at BIGINT NOT NULL,
    updated_by TEXT COLLATE "C" NOT NULL
);
CREATE INDEX cmdb_drawings_updated ON cmdb_drawings (updated_at, id);

CREATE TABLE cmdb_drawing_versions (
    drawing  TEXT COLLATE "C" NOT NULL REFERENCES cmdb_drawings (id) ON DELETE CASCADE,
    revision BIGINT NOT NULL,
    content  TEXT COLLATE "C" NOT NULL, -- JSON
    actor    TEXT COLLATE "C" NOT NULL,
    action   TEXT COLLATE "C" NOT NULL CHECK (action IN ('created', 'updated', 'deleted', 'restored')),
    at       BIGINT NOT NULL, -- Unix milliseconds
    PRIMARY KEY (drawing, revision)
);

-- The items of the version in force: whether somebody may see any of them
-- decides whether he sees that the drawing is there.
CREATE TABLE cmdb_drawing_items (
    drawing TEXT COLLATE "C" NOT NULL REFERENCES cmdb_drawings (id) ON DELETE CASCADE,
    item    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (drawing, item)
);
CREATE INDEX cmdb_drawing_items_item ON cmdb_drawing_items (item);

-- +goose Down
DROP TABLE cmdb_drawing_items;
DROP TABLE cmdb_drawing_versions;
DROP TABLE cmdb_drawings;
