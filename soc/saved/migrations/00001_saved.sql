-- +goose Up
-- Times are Unix milliseconds, 0 where there is none; lists are JSON arrays of strings.
CREATE TABLE saved_searches (
    id          TEXT    NOT NULL PRIMARY KEY,
    owner       TEXT    NOT NULL, -- user id
    owner_name  TEXT    NOT NULL,
    unit        TEXT    NOT NULL, -- the owner's when it was last shared: whose people see it where visibility is unit
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    folder      TEXT    NOT NULL, -- like "dns/tunnels"; '' at the top
    query       TEXT    NOT NULL,
    click       TEXT    NOT NULL, -- the console's tree of conditions, JSON; '' where there is none
    tenant      TEXT    NOT NULL, -- slugs separated by commas; '' for all within reach
    log_group   TEXT    NOT NULL,
    since       TEXT    NOT NULL, -- a duration before now; '' where start_at and end_at say
    start_at    BIGINT  NOT NULL,
    end_at      BIGINT  NOT NULL,
    columns     TEXT    NOT NULL,
    chart       TEXT    NOT NULL, -- JSON; '' where there is none
    tags        TEXT    NOT NULL,
    visibility  TEXT    NOT NULL, -- private, unit or everybody
    revision    BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);
CREATE UNIQUE INDEX saved_searches_name ON saved_searches (owner, folder, name);
CREATE INDEX saved_searches_group ON saved_searches (log_group) WHERE log_group <> '';

CREATE TABLE saved_groups (
    id          TEXT    NOT NULL PRIMARY KEY,
    parent      TEXT    NOT NULL, -- id of a directory; '' at the top
    kind        TEXT    NOT NULL, -- directory or group
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    position    BIGINT  NOT NULL, -- among those of the same parent
    filter      TEXT    NOT NULL, -- LogsQL without pipes; '' for every row
    tenants     TEXT    NOT NULL, -- slugs; none for all
    span        TEXT    NOT NULL, -- the furthest a search looks back; '' for no bound
    roles       TEXT    NOT NULL, -- who may use it: where all three are empty, everybody
    units       TEXT    NOT NULL,
    users       TEXT    NOT NULL,
    confines    BIGINT  NOT NULL, -- 1: those named see no other rows
    revision    BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);
CREATE UNIQUE INDEX saved_groups_name ON saved_groups (parent, name);

CREATE TABLE saved_history (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    owner     TEXT    NOT NULL,
    digest    TEXT    NOT NULL, -- of what makes two searches the same
    query     TEXT    NOT NULL,
    tenant    TEXT    NOT NULL,
    log_group TEXT    NOT NULL,
    since     TEXT    NOT NULL,
    start_at  BIGINT  NOT NULL,
    end_at    BIGINT  NOT NULL,
    count     BIGINT  NOT NULL,
    last_at   BIGINT  NOT NULL,
    rows      BIGINT  NOT NULL,
    took_ms   BIGINT  NOT NULL
);
CREATE UNIQUE INDEX saved_history_digest ON saved_history (owner, digest);
CREATE INDEX saved_history_last ON saved_history (owner, last_at);

CREATE TABLE saved_preferences (
    owner    TEXT NOT NULL PRIMARY KEY,
    followed TEXT NOT NULL,
    columns  TEXT NOT NULL
);

-- +goose Down
DROP TABLE saved_preferences;
DROP TABLE saved_history;
DROP TABLE saved_groups;
DROP TABLE saved_searches;
