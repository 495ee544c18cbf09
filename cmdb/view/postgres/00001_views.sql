-- +goose Up
-- The tables of ../migrations as PostgreSQL has them.
-- Lists of items that people keep under a name.
CREATE TABLE cmdb_views (
    id         TEXT COLLATE "C" PRIMARY KEY,
    owner      TEXT COLLATE "C" NOT NULL, -- id of a user
    owner_name TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    share      TEXT COLLATE "C" NOT NULL, -- '' is the owner's own, '*' everybody's, else a tenant's slug
    list       TEXT COLLATE "C" NOT NULL, -- JSON
    revision   BIGINT NOT NULL,
    deleted    BIGINT NOT NULL,
    created_at BIGINT NOT NULL, -- Unix milliseconds
    updated_at BIGINT NOT NULL
);
CREATE INDEX cmdb_views_owner ON cmdb_views (owner);

-- What people follow: a line of business, a network zone, an item.
CREATE TABLE cmdb_followed (
    owner TEXT COLLATE "C" NOT NULL, -- id of a user
    kind  TEXT COLLATE "C" NOT NULL CHECK (kind IN ('line', 'zone', 'item')),
    name  TEXT COLLATE "C" NOT NULL, -- of the line or zone; id of the item
    since BIGINT NOT NULL, -- Unix milliseconds
    PRIMARY KEY (owner, kind, name)
);

-- +goose Down
DROP TABLE cmdb_followed;
DROP TABLE cmdb_views;
