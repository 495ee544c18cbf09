-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
CREATE TABLE statutory_reports (
  id           TEXT    NOT NULL PRIMARY KEY,
  incident     TEXT    NOT NULL,
  kind         TEXT    NOT NULL,             -- first or summary
  revision     INTEGER NOT NULL,
  state        TEXT    NOT NULL,             -- draft, submitted, approved or sent
  level        TEXT    NOT NULL,
  operator     TEXT    NOT NULL,
  known_at     INTEGER NOT NULL,             -- from when the deadline counts
  due          INTEGER NOT NULL,             -- 0 where nothing is to be reported
  answers      TEXT    NOT NULL,             -- JSON, by field
  drafted_by   TEXT    NOT NULL,
  drafted_at   INTEGER NOT NULL,
  submitted_by TEXT    NOT NULL DEFAULT '',
  submitted_at INTEGER NOT NULL DEFAULT 0,
  approved_by  TEXT    NOT NULL DEFAULT '',
  approved_at  INTEGER NOT NULL DEFAULT 0,
  digest       TEXT    NOT NULL DEFAULT '',  -- SHA-256 of what was approved
  refused      TEXT    NOT NULL DEFAULT '',  -- why it came back
  sent_by      TEXT    NOT NULL DEFAULT '',
  sent_at      INTEGER NOT NULL DEFAULT 0,
  channel      TEXT    NOT NULL DEFAULT '',
  receipt      TEXT    NOT NULL DEFAULT '',  -- number, or whoever took it
  evidence     TEXT    NOT NULL DEFAULT '',  -- id of the proof among the incident's evidence
  UNIQUE (incident, kind)
);
CREATE INDEX statutory_reports_due ON statutory_reports (due) WHERE sent_at = 0 AND due > 0;

-- +goose Down
DROP TABLE statutory_reports;
