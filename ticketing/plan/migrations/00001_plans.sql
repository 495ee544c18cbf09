-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
CREATE TABLE plan_plans (
  id         TEXT    NOT NULL PRIMARY KEY,
  revision   INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  doc        TEXT    NOT NULL,               -- JSON
  updated_at INTEGER NOT NULL,
  updated_by TEXT    NOT NULL,
  deleted_at INTEGER NOT NULL DEFAULT 0,
  deleted_by TEXT    NOT NULL DEFAULT ''
);

CREATE TABLE plan_tasks (
  id         TEXT    NOT NULL PRIMARY KEY,
  incident   TEXT    NOT NULL,
  position   INTEGER NOT NULL,
  title      TEXT    NOT NULL,
  detail     TEXT    NOT NULL,
  owner      TEXT    NOT NULL,
  due        INTEGER NOT NULL,
  plan       TEXT    NOT NULL,               -- it came from, or ''
  origin     TEXT    NOT NULL,               -- response or review
  made_by    TEXT    NOT NULL,
  made_at    INTEGER NOT NULL,
  done_by    TEXT    NOT NULL DEFAULT '',
  done_at    INTEGER NOT NULL DEFAULT 0,
  outcome    TEXT    NOT NULL DEFAULT '',
  removed_by TEXT    NOT NULL DEFAULT '',
  removed_at INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX plan_tasks_incident ON plan_tasks (incident, position);
CREATE INDEX plan_tasks_owner ON plan_tasks (owner, due) WHERE done_at = 0 AND removed_at = 0;

CREATE TABLE plan_reviews (
  incident   TEXT    NOT NULL PRIMARY KEY,
  revision   INTEGER NOT NULL,
  doc        TEXT    NOT NULL,               -- JSON, answers by section
  updated_at INTEGER NOT NULL,
  updated_by TEXT    NOT NULL,
  ended_at   INTEGER NOT NULL DEFAULT 0,
  ended_by   TEXT    NOT NULL DEFAULT ''
);

-- +goose Down
DROP TABLE plan_reviews;
DROP TABLE plan_tasks;
DROP TABLE plan_plans;
