-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
-- +goose StatementBegin
CREATE TABLE disposal_rules (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL,
  position   INTEGER NOT NULL,
  doc        TEXT    NOT NULL,               -- JSON
  revision   INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT    NOT NULL,
  deleted_at INTEGER NOT NULL DEFAULT 0,
  deleted_by TEXT    NOT NULL DEFAULT ''
);
-- +goose StatementEnd
-- What rules did, one row for each thing that a rule matched.
-- +goose StatementBegin
CREATE TABLE disposal_records (
  seq            INTEGER PRIMARY KEY AUTOINCREMENT,
  rule           TEXT    NOT NULL,
  rule_name      TEXT    NOT NULL,
  object         TEXT    NOT NULL,           -- id of an alert or incident
  title          TEXT    NOT NULL,
  tenant         TEXT    NOT NULL,
  at             INTEGER NOT NULL,
  done           TEXT    NOT NULL,           -- JSON, what came of each action
  escalate_at    INTEGER NOT NULL,           -- 0 where nothing is to come
  told_recovery  INTEGER NOT NULL,
  reach_unit     TEXT    NOT NULL,
  reach_region   TEXT    NOT NULL,
  reach_industry TEXT    NOT NULL,
  reach_labels   TEXT    NOT NULL,
  UNIQUE (rule, object)
);
-- +goose StatementEnd
CREATE INDEX disposal_records_object ON disposal_records (object);
CREATE INDEX disposal_records_escalate ON disposal_records (escalate_at) WHERE escalate_at > 0;
CREATE TABLE disposal_cursor (name TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, id TEXT NOT NULL);

-- +goose Down
DROP TABLE disposal_cursor;
DROP TABLE disposal_records;
DROP TABLE disposal_rules;
