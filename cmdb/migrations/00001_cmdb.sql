-- +goose Up
CREATE TABLE cmdb_items (
    id              TEXT    PRIMARY KEY,
    class           TEXT    NOT NULL,
    tenant          TEXT    NOT NULL, -- slug, '' is shared
    name            TEXT    NOT NULL,
    zone            TEXT    NOT NULL,
    addresses       TEXT    NOT NULL, -- JSON array
    hostnames       TEXT    NOT NULL, -- JSON array
    criticality     INTEGER NOT NULL CHECK (criticality BETWEEN 1 AND 5),
    owner           TEXT    NOT NULL,
    labels          TEXT    NOT NULL, -- JSON array
    system_id       TEXT    REFERENCES cmdb_items (id) DEFERRABLE INITIALLY DEFERRED,
    organisation_id TEXT    REFERENCES cmdb_items (id) DEFERRABLE INITIALLY DEFERRED,
    attributes      TEXT    NOT NULL, -- JSON object
    search          TEXT    NOT NULL, -- lower-case text that list queries look through
    created_at      INTEGER NOT NULL, -- Unix milliseconds
    updated_at      INTEGER NOT NULL  -- Unix milliseconds
);
CREATE UNIQUE INDEX cmdb_items_identity ON cmdb_items (class, tenant, name);
CREATE INDEX cmdb_items_order ON cmdb_items (class, name, id);
CREATE INDEX cmdb_items_tenant ON cmdb_items (tenant);
CREATE INDEX cmdb_items_name ON cmdb_items (name);
CREATE INDEX cmdb_items_system ON cmdb_items (system_id);
CREATE INDEX cmdb_items_organisation ON cmdb_items (organisation_id);

-- An asset is (zone, address): the primary key says so.
CREATE TABLE cmdb_addresses (
    zone    TEXT NOT NULL,
    address TEXT NOT NULL, -- canonical IP address, or CIDR of a network
    item_id TEXT NOT NULL REFERENCES cmdb_items (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (zone, address)
);
CREATE INDEX cmdb_addresses_item ON cmdb_addresses (item_id);
CREATE INDEX cmdb_addresses_address ON cmdb_addresses (address);

CREATE TABLE cmdb_labels (
    label   TEXT NOT NULL,
    item_id TEXT NOT NULL REFERENCES cmdb_items (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    PRIMARY KEY (label, item_id)
);
CREATE INDEX cmdb_labels_item ON cmdb_labels (item_id);

-- What happened to items, kept after the item is gone.
CREATE TABLE cmdb_history (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    item_id TEXT    NOT NULL,
    class   TEXT    NOT NULL,
    tenant  TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    time    INTEGER NOT NULL, -- Unix milliseconds
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL CHECK (action IN ('created', 'updated', 'deleted')),
    changes TEXT    NOT NULL  -- JSON array of {field, before, after}
);
CREATE INDEX cmdb_history_item ON cmdb_history (item_id, id);

-- The items as the tenants' catalogue last had them: the common ancestor that
-- tells a user's edit from a new release's.
CREATE TABLE cmdb_shipped (
    item_id TEXT PRIMARY KEY,
    item    TEXT NOT NULL -- JSON
);

-- One row: the version counts every change and marks snapshots.
CREATE TABLE cmdb_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
);
INSERT INTO cmdb_version (id, version) VALUES (1, 0);

-- +goose Down
DROP TABLE cmdb_version;
DROP TABLE cmdb_shipped;
DROP TABLE cmdb_history;
DROP TABLE cmdb_labels;
DROP TABLE cmdb_addresses;
DROP TABLE cmdb_items;
