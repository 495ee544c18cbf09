-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
CREATE TABLE evidence_items (
  id           TEXT    NOT NULL PRIMARY KEY,
  incident     TEXT    NOT NULL,
  kind         TEXT    NOT NULL,             -- file, events or query
  name         TEXT    NOT NULL,
  media        TEXT    NOT NULL,
  size         INTEGER NOT NULL,
  sha256       TEXT    NOT NULL,
  reason       TEXT    NOT NULL,
  query        TEXT    NOT NULL,             -- what it came from: a query with its range, or ids of events
  rows         INTEGER NOT NULL,             -- events in it
  added_by     TEXT    NOT NULL,
  added_at     INTEGER NOT NULL,
  withdrawn_by TEXT    NOT NULL,
  withdrawn_at INTEGER NOT NULL
);
CREATE INDEX evidence_items_incident ON evidence_items (incident, added_at);

-- Contents are kept by their hash, once, in pieces that fit into memory.
CREATE TABLE evidence_chunks (
  sha256 TEXT    NOT NULL,
  n      INTEGER NOT NULL,
  data   BLOB    NOT NULL,
  PRIMARY KEY (sha256, n)
);

CREATE TABLE evidence_custody (
  incident TEXT    NOT NULL,
  n        INTEGER NOT NULL,                 -- from 1 without gaps
  at       INTEGER NOT NULL,
  actor    TEXT    NOT NULL,
  action   TEXT    NOT NULL,
  item     TEXT    NOT NULL,
  sha256   TEXT    NOT NULL,
  detail   TEXT    NOT NULL,
  prev     TEXT    NOT NULL,                 -- hash of the entry before; '' of the first
  hash     TEXT    NOT NULL,
  PRIMARY KEY (incident, n)
);

-- The triggers keep slips of our own out; the hashes show what somebody did to
-- the file itself.
-- +goose StatementBegin
CREATE TRIGGER evidence_custody_no_update BEFORE UPDATE ON evidence_custody
BEGIN
  SELECT RAISE(ABORT, 'the chain of custody is never changed');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER evidence_custody_no_delete BEFORE DELETE ON evidence_custody
BEGIN
  SELECT RAISE(ABORT, 'the chain of custody is never shortened');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER evidence_chunks_no_update BEFORE UPDATE ON evidence_chunks
BEGIN
  SELECT RAISE(ABORT, 'evidence is never changed');
END;
-- +goose StatementEnd

-- +goose Down
DROP TABLE evidence_custody;
DROP TABLE evidence_chunks;
DROP TABLE evidence_items;
