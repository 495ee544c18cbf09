-- +goose Up
-- What people write beside what traffic shows, whatever was decided on it.
ALTER TABLE cmdb_traffic ADD COLUMN annotation TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_traffic ADD COLUMN annotated_by TEXT NOT NULL DEFAULT '';
ALTER TABLE cmdb_traffic ADD COLUMN annotated_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX cmdb_traffic_bytes ON cmdb_traffic (bytes, id);

-- How much it was on each day.
CREATE TABLE cmdb_traffic_days (
    proposal INTEGER NOT NULL REFERENCES cmdb_traffic (id) ON DELETE CASCADE,
    day      INTEGER NOT NULL, -- days since 1970-01-01, of the server's zone
    flows    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (proposal, day)
);
CREATE INDEX cmdb_traffic_days_day ON cmdb_traffic_days (day);

-- +goose Down
DROP TABLE cmdb_traffic_days;
DROP INDEX cmdb_traffic_bytes;
ALTER TABLE cmdb_traffic DROP COLUMN annotated_at;
ALTER TABLE cmdb_traffic DROP COLUMN annotated_by;
ALTER TABLE cmdb_traffic DROP COLUMN annotation;
