-- +goose Up
-- Which items are marked as key assets is asked at every start.
CREATE INDEX cmdb_items_key_asset ON cmdb_items (id) WHERE instr(attributes, '"key_asset":"true"') > 0;

-- +goose Down
DROP INDEX cmdb_items_key_asset;
