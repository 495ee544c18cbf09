-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
-- +goose StatementBegin
CREATE TABLE outbox_receivers (
  name          TEXT    NOT NULL PRIMARY KEY,
  url           TEXT    NOT NULL,
  send_resolved INTEGER NOT NULL,
  secret        TEXT    NOT NULL,
  tenants       TEXT    NOT NULL,               -- comma-separated; '' for all
  created_at    INTEGER NOT NULL,
  created_by    TEXT    NOT NULL
);
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TABLE outbox_messages (
  id          INTEGER PRIMARY KEY AUTOINCREMENT, -- order of sending
  delivery    TEXT    NOT NULL UNIQUE,           -- id the receiver sees
  receiver    TEXT    NOT NULL,
  incident_id TEXT    NOT NULL,
  tenant      TEXT    NOT NULL,
  kind        TEXT    NOT NULL,                  -- opened, changed, sla, resolved
  body        TEXT    NOT NULL,                  -- '' once settled
  state       TEXT    NOT NULL,                  -- pending, delivered, failed
  attempts    INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  next_at     INTEGER NOT NULL,
  settled_at  INTEGER NOT NULL
);
-- +goose StatementEnd
CREATE INDEX outbox_messages_pending ON outbox_messages (receiver, id) WHERE state = 'pending';
CREATE INDEX outbox_messages_settled ON outbox_messages (settled_at) WHERE state <> 'pending';
-- +goose StatementBegin
CREATE TABLE outbox_attempts (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  delivery    TEXT    NOT NULL,
  receiver    TEXT    NOT NULL,
  incident_id TEXT    NOT NULL,
  tenant      TEXT    NOT NULL,
  kind        TEXT    NOT NULL,
  url_host    TEXT    NOT NULL,
  attempt     INTEGER NOT NULL,
  status      TEXT    NOT NULL,                  -- delivered, retrying, failed
  http_status INTEGER NOT NULL,
  error       TEXT    NOT NULL,
  at          INTEGER NOT NULL,
  next_at     INTEGER NOT NULL
);
-- +goose StatementEnd
CREATE INDEX outbox_attempts_incident ON outbox_attempts (incident_id, id);
CREATE INDEX outbox_attempts_at ON outbox_attempts (at);
