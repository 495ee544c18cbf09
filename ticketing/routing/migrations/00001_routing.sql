-- +goose Up
-- Times are Unix milliseconds; 0 means "none".
-- +goose StatementBegin
CREATE TABLE routing_trees (
  version INTEGER PRIMARY KEY AUTOINCREMENT,
  scope   TEXT    NOT NULL,              -- '' for the city's tree, else a tenant
  body    TEXT    NOT NULL,              -- JSON
  note    TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  by      TEXT    NOT NULL
);
-- +goose StatementEnd
CREATE INDEX routing_trees_scope ON routing_trees (scope, version);
-- +goose StatementBegin
CREATE TABLE routing_groups (
  key         TEXT    NOT NULL PRIMARY KEY,
  scope       TEXT    NOT NULL,
  route       TEXT    NOT NULL,          -- id within the tree
  tenant      TEXT    NOT NULL,          -- a group never mixes tenants
  labels      TEXT    NOT NULL,          -- JSON: what its alerts are grouped by
  created_at  INTEGER NOT NULL,
  flush_at    INTEGER NOT NULL,          -- when it is looked at next
  flushed_at  INTEGER NOT NULL,          -- when receivers were told last
  seq         INTEGER NOT NULL,          -- how often they were told
  urgent      TEXT    NOT NULL,          -- kind of what has to be told at once
  escalate_at INTEGER NOT NULL
);
-- +goose StatementEnd
CREATE INDEX routing_groups_flush ON routing_groups (flush_at) WHERE flush_at > 0;
CREATE INDEX routing_groups_escalate ON routing_groups (escalate_at) WHERE escalate_at > 0;
-- +goose StatementBegin
CREATE TABLE routing_members (
  grp   TEXT    NOT NULL,
  alert TEXT    NOT NULL,
  told  INTEGER NOT NULL,                -- 1 once receivers know that it fires
  PRIMARY KEY (grp, alert)
) WITHOUT ROWID;
-- +goose StatementEnd
CREATE INDEX routing_members_alert ON routing_members (alert);

-- +goose Down
DROP TABLE routing_members;
DROP TABLE routing_groups;
DROP TABLE routing_trees;
