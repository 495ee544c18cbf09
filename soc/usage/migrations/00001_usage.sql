-- +goose Up
-- A day is that of the reception in the machine's time zone: 2026-11-25.
-- What the engine counted. Figures of one count grow; several counts of a day
-- (the engine's folder was made anew in between) are added.
CREATE TABLE usage_days (
    day         TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    count       TEXT    NOT NULL,
    events      INTEGER NOT NULL,
    bytes       INTEGER NOT NULL, -- of raw text
    late_events INTEGER NOT NULL, -- of these, whose owner the intake did not know
    late_bytes  INTEGER NOT NULL,
    PRIMARY KEY (day, tenant, count)
) WITHOUT ROWID;

-- What the intake took and did not take.
CREATE TABLE usage_intake (
    day            TEXT    NOT NULL,
    tenant         TEXT    NOT NULL,
    events         INTEGER NOT NULL,
    bytes          INTEGER NOT NULL,
    refused_events INTEGER NOT NULL,
    refused_bytes  INTEGER NOT NULL,
    PRIMARY KEY (day, tenant)
) WITHOUT ROWID;

CREATE TABLE usage_quotas (
    tenant TEXT NOT NULL PRIMARY KEY,
    doc    TEXT NOT NULL -- JSON
);

-- Who sends: a way in, a network zone and an address of the other end.
CREATE TABLE usage_sources (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL, -- as token or listener say; '' where they do not
    collector  TEXT    NOT NULL,
    zone       TEXT    NOT NULL,
    peer       TEXT    NOT NULL,
    events     INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    slots      INTEGER NOT NULL, -- spans of ten seconds in which something came
    first_seen INTEGER NOT NULL, -- Unix milliseconds
    last_seen  INTEGER NOT NULL
);

-- +goose Down
DROP TABLE usage_sources;
DROP TABLE usage_quotas;
DROP TABLE usage_intake;
DROP TABLE usage_days;
