-- +goose Up
-- Who wants to hear of which changes of the CMDB. The table lies in the suite's
-- own state whatever the CMDB's is, beside the outbox: how far a subscription
-- has come and what it sent out are written in one transaction.
CREATE TABLE cmdb_subscriptions (
    id         TEXT    PRIMARY KEY,
    owner      TEXT    NOT NULL, -- id of a user
    owner_name TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    enabled    INTEGER NOT NULL,
    wants      TEXT    NOT NULL, -- JSON
    at         INTEGER NOT NULL, -- the last entry of the histories that was looked at
    told       INTEGER NOT NULL, -- changes
    told_at    INTEGER NOT NULL, -- Unix milliseconds, 0 where nothing was told
    trouble    TEXT    NOT NULL, -- why nothing is told at the moment, '' where something may be
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    updated_at INTEGER NOT NULL
);
CREATE INDEX cmdb_subscriptions_owner ON cmdb_subscriptions (owner, id);

-- What people are told in the console: which change, not what it says, since
-- who may see that is decided when it is read.
CREATE TABLE cmdb_notices (
    owner        TEXT    NOT NULL, -- id of a user
    entry        INTEGER NOT NULL, -- of the histories
    subscription TEXT    NOT NULL,
    read         INTEGER NOT NULL,
    PRIMARY KEY (owner, entry)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE cmdb_notices;
DROP TABLE cmdb_subscriptions;
