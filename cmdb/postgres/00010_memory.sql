-- +goose Up
-- As ../migrations/00010_memory.sql.
DROP INDEX cmdb_items_order, cmdb_items_tenant, cmdb_addresses_address;
ALTER TABLE cmdb_items DROP COLUMN search;
DROP TABLE cmdb_values;
CREATE TABLE cmdb_values (
    attribute TEXT COLLATE "C" NOT NULL,
    text      TEXT COLLATE "C" NOT NULL,
    item      BIGINT NOT NULL,
    PRIMARY KEY (attribute, text, item)
);
CREATE INDEX cmdb_values_item ON cmdb_values (item, attribute);
CREATE TABLE cmdb_valued (attribute TEXT COLLATE "C" PRIMARY KEY);

-- +goose Down
DROP TABLE cmdb_valued, cmdb_values;
CREATE TABLE cmdb_values (
    attribute TEXT COLLATE "C" NOT NULL,
    text      TEXT COLLATE "C" NOT NULL,
    number    DOUBLE PRECISION,
    item      BIGINT NOT NULL,
    PRIMARY KEY (attribute, text, item)
);
CREATE INDEX cmdb_values_number ON cmdb_values (attribute, number, item) WHERE number IS NOT NULL;
CREATE INDEX cmdb_values_item ON cmdb_values (item, attribute);
DELETE FROM cmdb_unindexed;
INSERT INTO cmdb_unindexed SELECT seq FROM cmdb_items;
ALTER TABLE cmdb_items ADD COLUMN search TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE INDEX cmdb_addresses_address ON cmdb_addresses (address);
CREATE INDEX cmdb_items_tenant ON cmdb_items (tenant);
CREATE INDEX cmdb_items_order ON cmdb_items (class, name, id);
