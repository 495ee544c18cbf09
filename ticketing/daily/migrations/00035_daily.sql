-- +goose Up
-- Times are Unix milliseconds.
-- +goose StatementBegin
CREATE TABLE daily_reports (
  id       TEXT    NOT NULL PRIMARY KEY,
  plan     TEXT    NOT NULL,               -- id of what the setting asks for
  slot     TEXT    NOT NULL,               -- which one of the plan; '' where a person had it made
  name     TEXT    NOT NULL,
  content  TEXT    NOT NULL,               -- full, high_risk
  day      TEXT    NOT NULL,               -- 2006-01-02
  tenants  TEXT    NOT NULL,               -- comma-separated; '' for all
  language TEXT    NOT NULL,
  summary  TEXT    NOT NULL,
  made_at  INTEGER NOT NULL,
  made_by  TEXT    NOT NULL,
  told     TEXT    NOT NULL,               -- contact points, comma-separated
  pdf      BLOB    NOT NULL,
  docx     BLOB    NOT NULL
);
-- +goose StatementEnd
CREATE UNIQUE INDEX daily_reports_slot ON daily_reports (plan, slot) WHERE slot <> '';
CREATE INDEX daily_reports_made ON daily_reports (made_at, id);

-- When the room was opened for the first time: what came due before is not made.
CREATE TABLE daily_begun (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL);

-- +goose Down
DROP TABLE daily_begun;
DROP TABLE daily_reports;
