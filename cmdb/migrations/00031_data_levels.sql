-- +goose Up
-- Which items hold data of a level is asked at every start.
CREATE INDEX cmdb_items_data_level ON cmdb_items (id) WHERE instr(attributes, '"data_level":"') > 0;

-- +goose Down
DROP INDEX cmdb_items_data_level;
