-- +goose Up
CREATE TABLE forward_targets (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    owner      TEXT    NOT NULL, -- in whose name it reads: who changed it last
    owner_name TEXT    NOT NULL,
    bound      TEXT    NOT NULL, -- JSON: tenants that the owner was confined to; empty where he was not
    doc        TEXT    NOT NULL, -- JSON: what it says, without secrets
    secrets    TEXT    NOT NULL, -- JSON, sealed; empty where there are none
    enabled    INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    updated_at INTEGER NOT NULL
);
CREATE TABLE forward_positions (
    target   TEXT    PRIMARY KEY REFERENCES forward_targets (id) ON DELETE CASCADE,
    epoch    TEXT    NOT NULL, -- of the bus; empty where the target has not begun
    sequence INTEGER NOT NULL, -- the first batch not dealt with
    idx      INTEGER NOT NULL, -- the first event of it not dealt with
    sent     INTEGER NOT NULL, -- events that the target took
    bytes    INTEGER NOT NULL, -- of these events, as they were sent
    repeated INTEGER NOT NULL, -- of these, those that it said it had already
    lost     INTEGER NOT NULL, -- how often the bus began anew before the target had everything
    sent_at  INTEGER NOT NULL  -- when it last took something, Unix milliseconds; 0 never
);
CREATE TABLE forward_dead (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT    NOT NULL REFERENCES forward_targets (id) ON DELETE CASCADE,
    event  TEXT    NOT NULL, -- event.id; the event itself stays where it is
    reason TEXT    NOT NULL, -- why the target does not want it, in its words
    at     INTEGER NOT NULL, -- Unix milliseconds
    UNIQUE (target, event)
);

-- +goose Down
DROP TABLE forward_dead;
DROP TABLE forward_positions;
DROP TABLE forward_targets;
