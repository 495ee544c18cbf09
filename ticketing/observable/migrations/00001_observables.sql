-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
CREATE TABLE observable_seen (
  type  TEXT NOT NULL,
  value TEXT NOT NULL,
  alert TEXT NOT NULL,
  PRIMARY KEY (type, value, alert)
) WITHOUT ROWID;

CREATE TABLE observable_noted (
  incident   TEXT    NOT NULL,
  type       TEXT    NOT NULL,
  value      TEXT    NOT NULL,
  note       TEXT    NOT NULL,
  added_by   TEXT    NOT NULL,
  added_at   INTEGER NOT NULL,
  removed_by TEXT    NOT NULL DEFAULT '',
  removed_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (incident, type, value)
) WITHOUT ROWID;
CREATE INDEX observable_noted_value ON observable_noted (type, value);

CREATE TABLE observable_cursor (
  one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  created INTEGER NOT NULL,
  alert   TEXT    NOT NULL
);

-- +goose Down
DROP TABLE observable_cursor;
DROP TABLE observable_noted;
DROP TABLE observable_seen;
