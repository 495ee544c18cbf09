-- +goose Up
-- What data scopes see of an item: its own attributes, else its business
-- system's, else its organisation's. '' is none.
ALTER TABLE cmdb_items ADD COLUMN reach_unit     TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_items ADD COLUMN reach_region   TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_items ADD COLUMN reach_industry TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_items ADD COLUMN reach_labels   TEXT NOT NULL DEFAULT ''; -- ';a;b;', own and the system's

-- The same as of each change, since the item may be gone.
ALTER TABLE cmdb_history ADD COLUMN reach_unit     TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_history ADD COLUMN reach_region   TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_history ADD COLUMN reach_industry TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_history ADD COLUMN reach_labels   TEXT NOT NULL DEFAULT '';

-- Items whose facts are to be worked out at the next start.
CREATE TABLE cmdb_unsettled (item_id TEXT PRIMARY KEY);
INSERT INTO cmdb_unsettled SELECT id FROM cmdb_items;

-- +goose Down
DROP TABLE cmdb_unsettled;
ALTER TABLE cmdb_history DROP COLUMN reach_unit;
ALTER TABLE cmdb_history DROP COLUMN reach_region;
ALTER TABLE cmdb_history DROP COLUMN reach_industry;
ALTER TABLE cmdb_history DROP COLUMN reach_labels;
ALTER TABLE cmdb_items DROP COLUMN reach_unit;
ALTER TABLE cmdb_items DROP COLUMN reach_region;
ALTER TABLE cmdb_items DROP COLUMN reach_industry;
ALTER TABLE cmdb_items DROP COLUMN reach_labels;
