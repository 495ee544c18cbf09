-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
-- +goose StatementBegin
CREATE TABLE workorder_connections (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL,
  doc        TEXT    NOT NULL,                -- JSON
  secrets    TEXT    NOT NULL,                -- JSON, sealed; '' where there are none
  hook       TEXT    NOT NULL,                -- SHA-256 of the token that results come back with
  revision   INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT    NOT NULL,
  deleted_at INTEGER NOT NULL DEFAULT 0,
  deleted_by TEXT    NOT NULL DEFAULT ''
);
-- +goose StatementEnd
CREATE UNIQUE INDEX workorder_connections_name ON workorder_connections (name) WHERE deleted_at = 0;
-- +goose StatementBegin
CREATE TABLE workorder_orders (
  id             TEXT    NOT NULL PRIMARY KEY,
  connection     TEXT    NOT NULL,
  object         TEXT    NOT NULL,            -- id of an alert or incident
  tenant         TEXT    NOT NULL,
  title          TEXT    NOT NULL,
  external       TEXT    NOT NULL,            -- id that the other system gave; '' until it has
  link           TEXT    NOT NULL,
  state          TEXT    NOT NULL,            -- sending, open, working, done, rejected, failed
  their_state    TEXT    NOT NULL,
  handler        TEXT    NOT NULL,
  note           TEXT    NOT NULL,
  made_by        TEXT    NOT NULL,
  made_at        INTEGER NOT NULL,
  reason         TEXT    NOT NULL,            -- which rule made it; '' where a person did
  after_seq      INTEGER NOT NULL,            -- what the timelines told before is in the creation
  synced_at      INTEGER NOT NULL,            -- last word of the other system
  poll_at        INTEGER NOT NULL,            -- when it is asked next; 0 for never
  error          TEXT    NOT NULL,
  reach_unit     TEXT    NOT NULL,
  reach_region   TEXT    NOT NULL,
  reach_industry TEXT    NOT NULL,
  reach_labels   TEXT    NOT NULL
);
-- +goose StatementEnd
CREATE INDEX workorder_orders_object ON workorder_orders (object, made_at);
CREATE INDEX workorder_orders_made ON workorder_orders (made_at, id);
CREATE INDEX workorder_orders_external ON workorder_orders (connection, external) WHERE external <> '';
CREATE INDEX workorder_orders_poll ON workorder_orders (poll_at) WHERE poll_at > 0;
CREATE UNIQUE INDEX workorder_orders_rule ON workorder_orders (connection, object, reason) WHERE reason <> '';
-- +goose StatementBegin
CREATE TABLE workorder_messages (
  id          INTEGER PRIMARY KEY AUTOINCREMENT, -- order of sending
  work_order  TEXT    NOT NULL REFERENCES workorder_orders (id),
  delivery    TEXT    NOT NULL UNIQUE,
  kind        TEXT    NOT NULL,                  -- create, update
  body        TEXT    NOT NULL,                  -- JSON of what templates know
  state       TEXT    NOT NULL,                  -- pending, delivered, failed
  attempts    INTEGER NOT NULL,
  http_status INTEGER NOT NULL,
  error       TEXT    NOT NULL,
  made_at     INTEGER NOT NULL,
  since       INTEGER NOT NULL,                  -- from when its age counts
  next_at     INTEGER NOT NULL,
  settled_at  INTEGER NOT NULL
);
-- +goose StatementEnd
CREATE INDEX workorder_messages_order ON workorder_messages (work_order, id);
CREATE INDEX workorder_messages_pending ON workorder_messages (work_order, id) WHERE state = 'pending';
CREATE TABLE workorder_cursor (name TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL);

-- +goose Down
DROP TABLE workorder_cursor;
DROP TABLE workorder_messages;
DROP TABLE workorder_orders;
DROP TABLE workorder_connections;
