-- +goose Up
-- Lists of items that people keep under a name.
CREATE TABLE cmdb_views (
    id         TEXT    PRIMARY KEY,
    owner      TEXT    NOT NULL, -- id of a user
    owner_name TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    share      TEXT    NOT NULL, -- '' is the owner's own, '*' everybody's, else a tenant's slug
    list       TEXT    NOT NULL, -- JSON
    revision   INTEGER NOT NULL,
    deleted    INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    updated_at INTEGER NOT NULL
);
CREATE INDEX cmdb_views_owner ON cmdb_views (owner);

-- What people follow: a line of business, a network zone, an item.
CREATE TABLE cmdb_followed (
    owner TEXT    NOT NULL, -- id of a user
    kind  TEXT    NOT NULL CHECK (kind IN ('line', 'zone', 'item')),
    name  TEXT    NOT NULL, -- of the line or zone; id of the item
    since INTEGER NOT NULL, -- Unix milliseconds
    PRIMARY KEY (owner, kind, name)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE cmdb_followed;
DROP TABLE cmdb_views;
