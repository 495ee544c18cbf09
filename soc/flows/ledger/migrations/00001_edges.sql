-- +goose Up
CREATE TABLE flow_edges (
    id              INTEGER PRIMARY KEY,
    tenant          TEXT    NOT NULL,
    reach_unit      TEXT    NOT NULL, -- what data scopes see of the flows, as soc/reach has it
    reach_region    TEXT    NOT NULL,
    reach_industry  TEXT    NOT NULL,
    reach_labels    TEXT    NOT NULL,
    zone            TEXT    NOT NULL, -- network zone of both ends
    client          TEXT    NOT NULL, -- address of the end that asks
    server          TEXT    NOT NULL, -- address of the end that serves
    port            INTEGER NOT NULL, -- of the server; 0 where the protocol has none
    protocol        INTEGER NOT NULL, -- IANA's number; -1 where it is not known
    first_seen      INTEGER NOT NULL, -- Unix milliseconds
    last_seen       INTEGER NOT NULL,
    first_day       INTEGER NOT NULL, -- day since 1970 (UTC) of the lowest bit of days
    days            BLOB    NOT NULL, -- one bit a day on which it was seen
    bytes_to_server INTEGER NOT NULL, -- estimates: sampling is multiplied in
    bytes_to_client INTEGER NOT NULL,
    packets         INTEGER NOT NULL,
    flows           INTEGER NOT NULL,
    client_internal INTEGER NOT NULL, -- 1 where the address was one of the city's when last seen
    server_internal INTEGER NOT NULL,
    UNIQUE (tenant, zone, client, server, port, protocol, reach_unit, reach_region, reach_industry, reach_labels)
);
CREATE INDEX flow_edges_client ON flow_edges (client, zone);
CREATE INDEX flow_edges_server ON flow_edges (server, zone);
-- Which go first where a tenant has too many: those with an end outside, and of
-- these the ones not seen for longest.
CREATE INDEX flow_edges_eviction ON flow_edges (tenant, client_internal + server_internal, last_seen);
CREATE TABLE flow_ledger (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    epoch    TEXT    NOT NULL, -- of the bus
    position INTEGER NOT NULL  -- the last batch of which every flow is in the edges
);
CREATE TABLE flow_evicted (
    tenant TEXT    PRIMARY KEY,
    edges  INTEGER NOT NULL -- taken out for want of room
);

-- +goose Down
DROP TABLE flow_evicted;
DROP TABLE flow_ledger;
DROP TABLE flow_edges;
