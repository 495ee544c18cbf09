-- +goose Up
ALTER TABLE ticketing_alerts ADD COLUMN tags TEXT NOT NULL DEFAULT '';  -- with commas between them, in their order

-- Actions on many alerts at once, and how each stood before, so that they can
-- be undone.
CREATE TABLE ticketing_bulks (
  id        TEXT    NOT NULL PRIMARY KEY,
  at        INTEGER NOT NULL,
  actor     TEXT    NOT NULL,
  action    TEXT    NOT NULL,
  detail    TEXT    NOT NULL,
  changed   INTEGER NOT NULL,
  refused   INTEGER NOT NULL,
  undone_at INTEGER NOT NULL DEFAULT 0,
  undone_by TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX ticketing_bulks_actor ON ticketing_bulks (actor, at);

CREATE TABLE ticketing_bulk_alerts (
  bulk   TEXT NOT NULL REFERENCES ticketing_bulks (id) ON DELETE CASCADE,
  alert  TEXT NOT NULL,
  before TEXT NOT NULL,                        -- JSON
  after  TEXT NOT NULL,                        -- JSON
  PRIMARY KEY (bulk, alert)
) WITHOUT ROWID;

-- Incidents that people merged or split.
CREATE TABLE ticketing_regroups (
  id        TEXT    NOT NULL PRIMARY KEY,
  incident  TEXT    NOT NULL,                  -- that took alerts in, or that they were taken from
  at        INTEGER NOT NULL,
  actor     TEXT    NOT NULL,
  kind      TEXT    NOT NULL,                  -- merge or split
  doc       TEXT    NOT NULL,                  -- JSON, what it takes to undo it
  undone_at INTEGER NOT NULL DEFAULT 0,
  undone_by TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX ticketing_regroups_incident ON ticketing_regroups (incident, at);
CREATE INDEX ticketing_timeline_at ON ticketing_timeline (at);
CREATE INDEX ticketing_alerts_created ON ticketing_alerts (created_at, id);  -- what indexes follow

-- +goose Down
DROP INDEX ticketing_alerts_created;
DROP INDEX ticketing_timeline_at;
DROP TABLE ticketing_regroups;
DROP TABLE ticketing_bulk_alerts;
DROP TABLE ticketing_bulks;
ALTER TABLE ticketing_alerts DROP COLUMN tags;
