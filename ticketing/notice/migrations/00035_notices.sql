-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
-- +goose StatementBegin
CREATE TABLE notice_notices (
  id           TEXT    NOT NULL PRIMARY KEY,
  kind         TEXT    NOT NULL,                -- circular, warning
  state        TEXT    NOT NULL,                -- draft, review, approved, published, closed
  name         TEXT    NOT NULL,
  level        TEXT    NOT NULL,
  region       TEXT    NOT NULL,
  due          INTEGER NOT NULL,
  doc          TEXT    NOT NULL,                -- JSON
  origin       TEXT    NOT NULL,                -- rule and thing that it was drafted by; '' by a person
  revision     INTEGER NOT NULL,
  made_by      TEXT    NOT NULL,
  made_at      INTEGER NOT NULL,
  moved_by     TEXT    NOT NULL,                -- who brought it into its state
  moved_at     INTEGER NOT NULL,
  published_at INTEGER NOT NULL,
  deleted_at   INTEGER NOT NULL DEFAULT 0,
  deleted_by   TEXT    NOT NULL DEFAULT ''
);
-- +goose StatementEnd
CREATE INDEX notice_notices_made ON notice_notices (made_at, id);
CREATE UNIQUE INDEX notice_notices_origin ON notice_notices (origin) WHERE origin <> '';
-- Whom a notice is for, and what became of it there.
-- +goose StatementBegin
CREATE TABLE notice_recipients (
  notice     TEXT    NOT NULL REFERENCES notice_notices (id),
  tenant     TEXT    NOT NULL,
  read_at    INTEGER NOT NULL DEFAULT 0,        -- by the first of it
  read_by    TEXT    NOT NULL DEFAULT '',
  replied_at INTEGER NOT NULL DEFAULT 0,
  replied_by TEXT    NOT NULL DEFAULT '',
  reply      TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (notice, tenant)
) WITHOUT ROWID;
-- +goose StatementEnd
CREATE INDEX notice_recipients_tenant ON notice_recipients (tenant, notice);
CREATE TABLE notice_reads (
  notice TEXT    NOT NULL REFERENCES notice_notices (id),
  person TEXT    NOT NULL,
  at     INTEGER NOT NULL,
  PRIMARY KEY (notice, person)
) WITHOUT ROWID;
-- +goose StatementBegin
CREATE TABLE notice_history (
  seq     INTEGER PRIMARY KEY AUTOINCREMENT,
  notice  TEXT    NOT NULL REFERENCES notice_notices (id),
  at      INTEGER NOT NULL,
  actor   TEXT    NOT NULL,
  action  TEXT    NOT NULL,
  tenant  TEXT    NOT NULL,                     -- of a reading or a reply
  comment TEXT    NOT NULL
);
-- +goose StatementEnd
CREATE INDEX notice_history_notice ON notice_history (notice, seq);

-- +goose Down
DROP TABLE notice_history;
DROP TABLE notice_reads;
DROP TABLE notice_recipients;
DROP TABLE notice_notices;
