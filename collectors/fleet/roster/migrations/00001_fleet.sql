-- +goose Up
CREATE TABLE fleet_documents (
    kind   TEXT NOT NULL, -- agent, token, group, configuration, version, task, job, package
    id     TEXT NOT NULL,
    tenant TEXT NOT NULL, -- slug; empty where it is everybody's
    data   TEXT NOT NULL, -- JSON
    PRIMARY KEY (kind, id)
);
CREATE TABLE fleet_positions (
    agent TEXT    NOT NULL,
    kind  TEXT    NOT NULL, -- logs, metrics, inventory
    epoch TEXT    NOT NULL, -- of the agent's process
    seq   BIGINT  NOT NULL, -- of the last batch taken
    at    BIGINT  NOT NULL, -- Unix milliseconds
    PRIMARY KEY (agent, kind, epoch)
);
CREATE TABLE fleet_operations (
    id     TEXT NOT NULL PRIMARY KEY, -- ULID: sorted by time
    tenant TEXT NOT NULL,
    agent  TEXT NOT NULL,             -- empty where it is of none
    object TEXT NOT NULL,             -- of what else: task:…, configuration:…
    kind   TEXT NOT NULL,
    data   TEXT NOT NULL              -- JSON
);
CREATE INDEX fleet_operations_agent ON fleet_operations (agent, id);
CREATE INDEX fleet_operations_object ON fleet_operations (object, id);
CREATE TABLE fleet_inventories (
    agent TEXT   NOT NULL PRIMARY KEY,
    taken BIGINT NOT NULL, -- Unix seconds, by the host's clock
    data  TEXT   NOT NULL  -- JSON
);

-- +goose Down
DROP TABLE fleet_inventories;
DROP TABLE fleet_operations;
DROP TABLE fleet_positions;
DROP TABLE fleet_documents;
