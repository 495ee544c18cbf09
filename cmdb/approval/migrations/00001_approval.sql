-- +goose Up
-- Changes of protected items that wait for somebody else's word, and what came
-- of them.
CREATE TABLE cmdb_requests (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    state        TEXT NOT NULL,
    requester_id TEXT NOT NULL,
    requester    TEXT NOT NULL,
    comment      TEXT NOT NULL,
    created_at   INTEGER NOT NULL, -- Unix milliseconds, as the times below
    expires_at   INTEGER NOT NULL,
    decider      TEXT NOT NULL,
    decided_at   INTEGER NOT NULL, -- 0 where nobody decided
    decision     TEXT NOT NULL,
    items        INTEGER NOT NULL,
    proposals    TEXT NOT NULL -- JSON
);
CREATE INDEX cmdb_requests_state ON cmdb_requests (state, id);

-- +goose Down
DROP TABLE cmdb_requests;
