-- +goose Up
-- Times are Unix milliseconds; 0 means "has not happened".
CREATE TABLE duty_teams (
  id         TEXT    NOT NULL PRIMARY KEY,
  revision   INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT    NOT NULL,
  doc        TEXT    NOT NULL                  -- JSON, the content
);

CREATE TABLE duty_overrides (
  seq  INTEGER PRIMARY KEY AUTOINCREMENT,      -- a later one counts over an earlier one
  id   TEXT    NOT NULL UNIQUE,
  team TEXT    NOT NULL REFERENCES duty_teams (id) ON DELETE CASCADE,
  swap TEXT    NOT NULL,                       -- id of the swap that made it, or ''
  doc  TEXT    NOT NULL                        -- JSON
);
CREATE INDEX duty_overrides_swap ON duty_overrides (swap) WHERE swap <> '';

CREATE TABLE duty_swaps (
  id         TEXT    NOT NULL PRIMARY KEY,
  team       TEXT    NOT NULL REFERENCES duty_teams (id) ON DELETE CASCADE,
  giver      TEXT    NOT NULL,
  taker      TEXT    NOT NULL,
  state      TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  doc        TEXT    NOT NULL                  -- JSON
);
CREATE INDEX duty_swaps_team ON duty_swaps (team, created_at);

CREATE TABLE duty_notes (
  id        TEXT    NOT NULL PRIMARY KEY,
  team      TEXT    NOT NULL REFERENCES duty_teams (id) ON DELETE CASCADE,
  text      TEXT    NOT NULL,
  by        TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  closed_by TEXT    NOT NULL,
  closed_at INTEGER NOT NULL
);
CREATE INDEX duty_notes_team ON duty_notes (team, closed_at, at);

-- Signed by both: never changed once accepted_at is set.
CREATE TABLE duty_handovers (
  id          TEXT    NOT NULL PRIMARY KEY,
  team        TEXT    NOT NULL,                -- a team may go; what was handed over stays
  outgoing    TEXT    NOT NULL,
  incoming    TEXT    NOT NULL,
  signed_at   INTEGER NOT NULL,
  accepted_at INTEGER NOT NULL,
  digest      TEXT    NOT NULL,                -- SHA-256 of doc, hex: what both signed
  remark      TEXT    NOT NULL,                -- of the incoming
  doc         TEXT    NOT NULL                 -- JSON
);
CREATE INDEX duty_handovers_team ON duty_handovers (team, signed_at);
CREATE INDEX duty_handovers_incoming ON duty_handovers (incoming) WHERE accepted_at = 0;

-- Where the escalation of an incident stands.
CREATE TABLE duty_escalations (
  incident TEXT    NOT NULL PRIMARY KEY,
  episode  INTEGER NOT NULL,
  team     TEXT    NOT NULL,
  priority TEXT    NOT NULL,                   -- by which the steps go
  round    INTEGER NOT NULL,                   -- the next step
  step     INTEGER NOT NULL,
  calls    INTEGER NOT NULL,                   -- of the episode so far
  next_at  INTEGER NOT NULL                    -- 0 where the policy is through
);

-- Every call, once.
CREATE TABLE duty_calls (
  incident TEXT    NOT NULL,
  episode  INTEGER NOT NULL,
  call     INTEGER NOT NULL,                   -- 1, 2, … within the episode
  at       INTEGER NOT NULL,
  team     TEXT    NOT NULL,
  people   TEXT    NOT NULL,                   -- JSON list
  why      TEXT    NOT NULL,                   -- JSON {zh,en}
  PRIMARY KEY (incident, episode, call)
);
CREATE INDEX duty_calls_at ON duty_calls (at);

-- The links by which an incident is acknowledged from a notification.
CREATE TABLE duty_links (
  id         TEXT    NOT NULL PRIMARY KEY,
  incident   TEXT    NOT NULL,
  episode    INTEGER NOT NULL,
  person     TEXT    NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at    INTEGER NOT NULL
);
CREATE INDEX duty_links_expiry ON duty_links (expires_at);

-- What links are signed with, sealed.
CREATE TABLE duty_keys (id TEXT NOT NULL PRIMARY KEY, secret TEXT NOT NULL);

-- +goose Down
DROP TABLE duty_keys;
DROP TABLE duty_links;
DROP TABLE duty_calls;
DROP TABLE duty_escalations;
DROP TABLE duty_handovers;
DROP TABLE duty_notes;
DROP TABLE duty_swaps;
DROP TABLE duty_overrides;
DROP TABLE duty_teams;
