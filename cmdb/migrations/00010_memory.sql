-- +goose Up
-- Items are found in memory: what served searches goes, and is no longer
-- written with every change. Of the values of attributes those stay that rules
-- for relations look at; cmdb_valued names them, and the next start brings them
-- in.
DROP INDEX cmdb_items_order;
DROP INDEX cmdb_items_tenant;
DROP INDEX cmdb_addresses_address;
ALTER TABLE cmdb_items DROP COLUMN search;
DROP TABLE cmdb_values;
CREATE TABLE cmdb_values (
    attribute TEXT    NOT NULL,
    text      TEXT    NOT NULL, -- lower case, cut
    item      INTEGER NOT NULL, -- seq
    PRIMARY KEY (attribute, text, item)
) WITHOUT ROWID;
CREATE INDEX cmdb_values_item ON cmdb_values (item, attribute);
CREATE TABLE cmdb_valued (attribute TEXT PRIMARY KEY);

-- +goose Down
DROP TABLE cmdb_valued;
DROP TABLE cmdb_values;
CREATE TABLE cmdb_values (
    attribute TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    number    REAL,
    item      INTEGER NOT NULL,
    PRIMARY KEY (attribute, text, item)
) WITHOUT ROWID;
CREATE INDEX cmdb_values_number ON cmdb_values (attribute, number, item) WHERE number IS NOT NULL;
CREATE INDEX cmdb_values_item ON cmdb_values (item, attribute);
DELETE FROM cmdb_unindexed;
INSERT INTO cmdb_unindexed SELECT seq FROM cmdb_items;
ALTER TABLE cmdb_items ADD COLUMN search TEXT NOT NULL DEFAULT '';
CREATE INDEX cmdb_addresses_address ON cmdb_addresses (address);
CREATE INDEX cmdb_items_tenant ON cmdb_items (tenant);
CREATE INDEX cmdb_items_order ON cmdb_items (class, name, id);
