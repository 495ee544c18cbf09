-- +goose Up
-- Which items were seen to talk to which, by their flows.
CREATE TABLE cmdb_traffic (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    from_item  TEXT    NOT NULL, -- id of the item that asks
    to_item    TEXT    NOT NULL, -- id of the item that serves
    zone       TEXT    NOT NULL, -- network zone that both are in
    services   TEXT    NOT NULL, -- JSON: port, protocol and sums of each
    first_seen INTEGER NOT NULL, -- Unix milliseconds, as the times below
    last_seen  INTEGER NOT NULL,
    flows      INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('waiting', 'accepted', 'rejected')),
    type       TEXT    NOT NULL, -- of the relation that was made, '' where none was
    decided_by TEXT    NOT NULL,
    decided_at INTEGER NOT NULL, -- 0 where nobody decided
    note       TEXT    NOT NULL
);
CREATE UNIQUE INDEX cmdb_traffic_ends ON cmdb_traffic (from_item, to_item, zone);
CREATE INDEX cmdb_traffic_to ON cmdb_traffic (to_item);
CREATE INDEX cmdb_traffic_state ON cmdb_traffic (state, last_seen);

-- Up to where flows were looked at.
CREATE TABLE cmdb_traffic_place (id INTEGER PRIMARY KEY, place INTEGER NOT NULL);

-- +goose Down
DROP TABLE cmdb_traffic_place;
DROP TABLE cmdb_traffic;
