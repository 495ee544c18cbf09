-- +goose Up
-- What changed in a stretch of time is asked for by days, over all items.
CREATE INDEX cmdb_history_time ON cmdb_history (time, id);

-- +goose Down
DROP INDEX cmdb_history_time;
