-- +goose Up
-- What was judged of entities; the newest of an entity and tenant is in force.
-- Times are Unix milliseconds; 0 means "has not happened" or "without end".
CREATE TABLE entity_judgements (
  seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  tenant     TEXT    NOT NULL,           -- whose judgement it is
  type       TEXT    NOT NULL,
  value      TEXT    NOT NULL,
  zone       TEXT    NOT NULL,
  conclusion TEXT    NOT NULL,
  risk       TEXT    NOT NULL,
  tags       TEXT    NOT NULL,           -- JSON array
  watched    INTEGER NOT NULL,
  until      INTEGER NOT NULL,           -- watched until
  note       TEXT    NOT NULL,
  alert      TEXT    NOT NULL,           -- id of the alert that the suite formed it from
  actor      TEXT    NOT NULL,
  at         INTEGER NOT NULL,
  newest     INTEGER NOT NULL            -- 1 for the one in force
);
CREATE INDEX entity_judgements_of ON entity_judgements (type, value, zone, seq);
CREATE UNIQUE INDEX entity_judgements_newest ON entity_judgements (tenant, type, value, zone) WHERE newest = 1;
CREATE INDEX entity_judgements_watched ON entity_judgements (watched, newest, seq);

-- How far each was looked for.
CREATE TABLE entity_watch (
  judgement INTEGER NOT NULL PRIMARY KEY, -- seq
  through   INTEGER NOT NULL,             -- minutes before it are done
  sightings INTEGER NOT NULL,             -- events that were found
  last_seen INTEGER NOT NULL
);
CREATE TABLE entity_formed (
  one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  through INTEGER NOT NULL                -- alerts closed until then were looked at
);

-- +goose Down
DROP TABLE entity_formed;
DROP TABLE entity_watch;
DROP TABLE entity_judgements;
