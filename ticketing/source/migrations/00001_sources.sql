-- +goose Up
CREATE TABLE alert_sources (
    id         TEXT    PRIMARY KEY,
    name       TEXT    NOT NULL,
    tenant     TEXT    NOT NULL, -- slug; empty: of the owner of the item
    doc        TEXT    NOT NULL, -- JSON: what it says, without secrets
    token      TEXT    NOT NULL UNIQUE, -- SHA-256 of its token, in hexadecimal
    secrets    TEXT    NOT NULL, -- JSON, sealed; empty where there are none
    enabled    INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    updated_at INTEGER NOT NULL,
    updated_by TEXT    NOT NULL,
    removed_at INTEGER NOT NULL  -- 0 while it is there
);
CREATE UNIQUE INDEX alert_sources_name ON alert_sources (name) WHERE removed_at = 0;

-- How each source fares, since it was made.
CREATE TABLE alert_source_health (
    source     TEXT    PRIMARY KEY REFERENCES alert_sources (id) ON DELETE CASCADE,
    messages   INTEGER NOT NULL DEFAULT 0,
    alerts     INTEGER NOT NULL DEFAULT 0, -- that fired or ended, repetitions included
    failed     INTEGER NOT NULL DEFAULT 0, -- messages of which something could not be mapped
    discarded  INTEGER NOT NULL DEFAULT 0, -- alerts left out by corrections
    dropped    INTEGER NOT NULL DEFAULT 0, -- dead letters that gave way to newer ones
    last_at    INTEGER NOT NULL DEFAULT 0, -- of the last message
    failed_at  INTEGER NOT NULL DEFAULT 0,
    error      TEXT    NOT NULL DEFAULT '', -- of the last message, or of the connection
    gap        REAL    NOT NULL DEFAULT 0, -- usual milliseconds between messages, learnt
    learnt     INTEGER NOT NULL DEFAULT 0, -- gaps that it was learnt from
    place      TEXT    NOT NULL DEFAULT ''  -- JSON: how far events were read
);

-- The last messages of each source as they came, and those that wait.
CREATE TABLE alert_source_messages (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    source  TEXT    NOT NULL REFERENCES alert_sources (id) ON DELETE CASCADE,
    at      INTEGER NOT NULL,
    last_at INTEGER NOT NULL, -- when the same came last
    times   INTEGER NOT NULL, -- how often it came
    digest  BLOB    NOT NULL, -- SHA-256 of the body
    body    BLOB    NOT NULL,
    meta    TEXT    NOT NULL, -- JSON: how it came
    state   TEXT    NOT NULL, -- mapped, failed or discarded
    alerts  INTEGER NOT NULL,
    reason  TEXT    NOT NULL  -- JSON: why something of it could not be mapped
);
CREATE INDEX alert_source_messages_source ON alert_source_messages (source, state, id);
CREATE UNIQUE INDEX alert_source_messages_dead ON alert_source_messages (source, digest) WHERE state = 'failed';

-- Alerts that fire, and for some time those that are over.
CREATE TABLE alert_source_alerts (
    source      TEXT    NOT NULL REFERENCES alert_sources (id) ON DELETE CASCADE,
    fingerprint TEXT    NOT NULL,
    tenant      TEXT    NOT NULL,
    doc         TEXT    NOT NULL, -- JSON: the alert as it was sent last
    starts_at   INTEGER NOT NULL,
    ends_at     INTEGER NOT NULL, -- 0: when its end is sent
    updated_at  INTEGER NOT NULL,
    since       INTEGER NOT NULL, -- of this firing
    firing      INTEGER NOT NULL, -- grows with each firing
    version     INTEGER NOT NULL, -- grows with each change within a firing
    told        INTEGER NOT NULL, -- version that ticketing knows
    told_firing INTEGER NOT NULL, -- firing that ticketing knows
    over        INTEGER NOT NULL, -- firing whose end ticketing knows
    said        INTEGER NOT NULL, -- the sender said that it is over
    PRIMARY KEY (source, fingerprint)
);
CREATE INDEX alert_source_alerts_due ON alert_source_alerts (ends_at) WHERE over < firing;
CREATE INDEX alert_source_alerts_untold ON alert_source_alerts (source) WHERE told_firing < firing OR told < version;

-- Templates of operators; each change is a version of its own.
CREATE TABLE alert_templates (
    id      TEXT    NOT NULL,
    version INTEGER NOT NULL,
    doc     TEXT    NOT NULL, -- YAML
    by      TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    removed INTEGER NOT NULL, -- this version takes it away
    PRIMARY KEY (id, version)
);

-- +goose Down
DROP TABLE alert_templates;
DROP TABLE alert_source_alerts;
DROP TABLE alert_source_messages;
DROP TABLE alert_source_health;
DROP TABLE alert_sources;
