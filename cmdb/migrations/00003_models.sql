-- +goose Up
-- seq numbers items without gaps that matter: relations and indexes use it, and
-- it is never given twice. identity is what the class's key makes of an item.
ALTER TABLE cmdb_items ADD COLUMN seq      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cmdb_items ADD COLUMN identity TEXT    NOT NULL DEFAULT '';
ALTER TABLE cmdb_items ADD COLUMN revision INTEGER NOT NULL DEFAULT 1; -- counts the item's changes
UPDATE cmdb_items SET seq = rowid, identity = name;
CREATE UNIQUE INDEX cmdb_items_seq ON cmdb_items (seq);
DROP INDEX cmdb_items_identity;
CREATE UNIQUE INDEX cmdb_items_identity ON cmdb_items (class, tenant, identity);
CREATE INDEX cmdb_items_by_identity ON cmdb_items (identity);

ALTER TABLE cmdb_version ADD COLUMN next_seq INTEGER NOT NULL DEFAULT 1;
UPDATE cmdb_version SET next_seq = 1 + coalesce((SELECT max(seq) FROM cmdb_items), 0);

-- The attributes of items, and what else is looked for by value: one row each.
CREATE TABLE cmdb_values (
    attribute TEXT    NOT NULL,
    text      TEXT    NOT NULL, -- lower case, cut
    number    REAL,             -- of integers and decimals
    item      INTEGER NOT NULL, -- seq
    PRIMARY KEY (attribute, text, item)
) WITHOUT ROWID;
CREATE INDEX cmdb_values_number ON cmdb_values (attribute, number, item) WHERE number IS NOT NULL;
CREATE INDEX cmdb_values_item ON cmdb_values (item, attribute);

-- How items hang together. origin is 'manual', 'rule.NAME' or 'field.NAME'.
CREATE TABLE cmdb_relations (
    from_seq   INTEGER NOT NULL,
    type       TEXT    NOT NULL,
    to_seq     INTEGER NOT NULL,
    origin     TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    PRIMARY KEY (from_seq, type, to_seq, origin)
) WITHOUT ROWID;
CREATE INDEX cmdb_relations_to ON cmdb_relations (to_seq, type, from_seq);

-- The item's revision after the change, and the revision of the model that made
-- it, 0 where somebody did.
ALTER TABLE cmdb_history ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cmdb_history ADD COLUMN model    INTEGER NOT NULL DEFAULT 0;
CREATE INDEX cmdb_history_model ON cmdb_history (model, id) WHERE model > 0;

-- The changes of the model, the last one in force once its state is 'done'.
CREATE TABLE cmdb_models (
    revision   INTEGER PRIMARY KEY,
    document   TEXT    NOT NULL, -- JSON, over the shipped one
    state      TEXT    NOT NULL CHECK (state IN ('moving', 'done', 'failed')),
    undoes     INTEGER NOT NULL, -- the revision that it takes back, 0 for none
    actor      TEXT    NOT NULL,
    comment    TEXT    NOT NULL,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    ended_at   INTEGER NOT NULL, -- 0 while it moves
    total      INTEGER NOT NULL, -- items to look at
    moved      INTEGER NOT NULL, -- items looked at
    changed    INTEGER NOT NULL, -- items that were changed
    place      INTEGER NOT NULL, -- seq of the last item looked at
    message    TEXT    NOT NULL
);

-- Items whose rows in cmdb_values and cmdb_relations are to be made at the next
-- start.
CREATE TABLE cmdb_unindexed (seq INTEGER PRIMARY KEY);
INSERT INTO cmdb_unindexed SELECT seq FROM cmdb_items;

-- +goose Down
DROP TABLE cmdb_unindexed;
DROP TABLE cmdb_models;
DROP INDEX cmdb_history_model;
ALTER TABLE cmdb_history DROP COLUMN model;
ALTER TABLE cmdb_history DROP COLUMN revision;
DROP TABLE cmdb_relations;
DROP TABLE cmdb_values;
ALTER TABLE cmdb_version DROP COLUMN next_seq;
DROP INDEX cmdb_items_by_identity;
DROP INDEX cmdb_items_identity;
CREATE UNIQUE INDEX cmdb_items_identity ON cmdb_items (class, tenant, name);
DROP INDEX cmdb_items_seq;
ALTER TABLE cmdb_items DROP COLUMN revision;
ALTER TABLE cmdb_items DROP COLUMN identity;
ALTER TABLE cmdb_items DROP COLUMN seq;
