-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
-- severity 0 (informational) to 4 (critical); priority 1 (P1) to 4 (P4).
-- +goose StatementBegin
CREATE TABLE ticketing_alerts (
  id              TEXT    NOT NULL PRIMARY KEY,
  key             TEXT    NOT NULL,             -- tenant / occurrence key
  generation      INTEGER NOT NULL,             -- 1, 2, … as the key fires again after closing
  tenant          TEXT    NOT NULL,
  rule_id         TEXT    NOT NULL,
  rule_title      TEXT    NOT NULL,             -- JSON {zh,en}
  severity        INTEGER NOT NULL,
  priority        INTEGER NOT NULL,
  status          TEXT    NOT NULL,
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  count           INTEGER NOT NULL,
  occurrences     INTEGER NOT NULL,
  item            TEXT    NOT NULL,             -- what it is about, for correlation
  actor           TEXT    NOT NULL,             -- who did it, for correlation; '' where unknown
  recon           INTEGER NOT NULL,             -- 1 where it only tells of reconnaissance
  ci_id           TEXT    NOT NULL,
  system_id       TEXT    NOT NULL,
  source_ip       TEXT    NOT NULL,
  assignee        TEXT    NOT NULL,
  incident_id     TEXT    NOT NULL,
  held            INTEGER NOT NULL,             -- 1 where an incident that is not closed holds it
  joins           INTEGER NOT NULL,             -- 1 where the policy lets it join an incident
  judge           INTEGER NOT NULL,             -- 1 where the policy has to be asked again
  created_at      INTEGER NOT NULL,
  acknowledged_at INTEGER NOT NULL,
  acknowledged_by TEXT    NOT NULL,
  closed_at       INTEGER NOT NULL,
  closed_by       TEXT    NOT NULL,
  resolution      TEXT    NOT NULL,
  tactics         TEXT    NOT NULL,             -- comma-separated
  techniques      TEXT    NOT NULL,
  search          TEXT    NOT NULL,             -- lower-case text that q looks in
  facts           TEXT    NOT NULL,             -- JSON, what a policy sees of it as a relation
  doc             TEXT    NOT NULL,             -- JSON, the rest
  UNIQUE (key, generation)
);
-- +goose StatementEnd
CREATE UNIQUE INDEX ticketing_alerts_open_key ON ticketing_alerts (key) WHERE status <> 'closed';
CREATE INDEX ticketing_alerts_last_seen ON ticketing_alerts (last_seen, id);
CREATE INDEX ticketing_alerts_tenant ON ticketing_alerts (tenant, last_seen, id);
CREATE INDEX ticketing_alerts_live ON ticketing_alerts (status, last_seen) WHERE status <> 'closed';
CREATE INDEX ticketing_alerts_incident ON ticketing_alerts (incident_id) WHERE incident_id <> '';
CREATE INDEX ticketing_alerts_item ON ticketing_alerts (item) WHERE status <> 'closed' AND item <> '';
CREATE INDEX ticketing_alerts_actor ON ticketing_alerts (actor) WHERE status <> 'closed' AND actor <> '';
CREATE INDEX ticketing_alerts_judge ON ticketing_alerts (judge) WHERE judge = 1;

-- Every occurrence taken in, so that a replay adds nothing.
-- +goose StatementBegin
CREATE TABLE ticketing_occurrences (
  id       BLOB    NOT NULL PRIMARY KEY,        -- first 16 bytes of SHA-256 of the occurrence's id
  taken_at INTEGER NOT NULL
) WITHOUT ROWID;
-- +goose StatementEnd
CREATE INDEX ticketing_occurrences_age ON ticketing_occurrences (taken_at);

-- +goose StatementBegin
CREATE TABLE ticketing_incidents (
  id              TEXT    NOT NULL PRIMARY KEY, -- INC-YYYYMMDD-NNNN
  derived         TEXT    NOT NULL UNIQUE,      -- from the alert that opened it
  tenant          TEXT    NOT NULL,
  severity        INTEGER NOT NULL,
  priority        INTEGER NOT NULL,
  status          TEXT    NOT NULL,
  ci_id           TEXT    NOT NULL,
  system_id       TEXT    NOT NULL,
  assignee        TEXT    NOT NULL,
  opened_at       INTEGER NOT NULL,
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  alert_count     INTEGER NOT NULL,
  ack_due         INTEGER NOT NULL,
  resolve_due     INTEGER NOT NULL,
  due             INTEGER NOT NULL,             -- the nearer of the two still to be kept; 0 once resolved
  acked_at        INTEGER NOT NULL,
  resolved_at     INTEGER NOT NULL,
  ack_breach      INTEGER NOT NULL,             -- when the breach was written down
  resolve_breach  INTEGER NOT NULL,
  acknowledged_at INTEGER NOT NULL,
  acknowledged_by TEXT    NOT NULL,
  closed_at       INTEGER NOT NULL,
  closed_by       TEXT    NOT NULL,
  resolution      TEXT    NOT NULL,
  told_at         INTEGER NOT NULL,             -- last notification
  tell_at         INTEGER NOT NULL,             -- when a change is to be told; 0 where there is none
  search          TEXT    NOT NULL,
  doc             TEXT    NOT NULL              -- JSON, the rest
);
-- +goose StatementEnd
CREATE INDEX ticketing_incidents_tenant ON ticketing_incidents (tenant, opened_at, id);
CREATE INDEX ticketing_incidents_opened ON ticketing_incidents (opened_at, id);
CREATE INDEX ticketing_incidents_due ON ticketing_incidents (due) WHERE status <> 'closed';
CREATE INDEX ticketing_incidents_tell ON ticketing_incidents (tell_at) WHERE tell_at > 0;

-- What draws further alerts into an incident: items, actors.
-- +goose StatementBegin
CREATE TABLE ticketing_links (
  incident_id TEXT NOT NULL REFERENCES ticketing_incidents (id),
  kind        TEXT NOT NULL,                    -- item or actor
  value       TEXT NOT NULL,
  PRIMARY KEY (incident_id, kind, value)
) WITHOUT ROWID;
-- +goose StatementEnd
CREATE INDEX ticketing_links_value ON ticketing_links (kind, value);

-- +goose StatementBegin
CREATE TABLE ticketing_timeline (
  seq    INTEGER PRIMARY KEY AUTOINCREMENT,
  object TEXT    NOT NULL,                      -- id of an alert or incident
  at     INTEGER NOT NULL,
  kind   TEXT    NOT NULL,
  actor  TEXT    NOT NULL,
  text   TEXT    NOT NULL,                      -- JSON {zh,en}
  data   TEXT    NOT NULL                       -- JSON object or ''
);
-- +goose StatementEnd
CREATE INDEX ticketing_timeline_object ON ticketing_timeline (object, seq);

-- The last incident number given out on each day.
CREATE TABLE ticketing_numbers (day TEXT NOT NULL PRIMARY KEY, last INTEGER NOT NULL);
