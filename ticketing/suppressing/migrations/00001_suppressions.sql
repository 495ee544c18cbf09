-- +goose Up
-- Suppressions with all their versions; the last version of an id is the one that
-- counts. doc is '' where it was deleted. Times are Unix milliseconds.
CREATE TABLE suppressing_versions (
  version    INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL,
  doc        TEXT    NOT NULL, -- JSON, the suppression
  at         INTEGER NOT NULL,
  by         TEXT    NOT NULL
);
CREATE INDEX suppressing_versions_id ON suppressing_versions (id, version);

-- What each has suppressed, by day (UTC) and rule.
CREATE TABLE suppressing_effects (
  id         TEXT    NOT NULL,
  day        INTEGER NOT NULL, -- its first millisecond
  rule       TEXT    NOT NULL,
  firings    INTEGER NOT NULL,
  events     INTEGER NOT NULL,
  PRIMARY KEY (id, day, rule)
) WITHOUT ROWID;

-- Who was told of the end of which, which is another one once it is put off.
CREATE TABLE suppressing_told (
  id         TEXT    NOT NULL,
  expires    INTEGER NOT NULL,
  over       INTEGER NOT NULL, -- 0 of an end to come, 1 of one that has come
  PRIMARY KEY (id, expires, over)
) WITHOUT ROWID;

-- Firings of the last weeks, as many in a row as were taken in together, for
-- previews. doc is JSON lines, packed with zstd; rules holds the ids of rules among
-- them with spaces around each.
CREATE TABLE suppressing_recall (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  at         INTEGER NOT NULL, -- when they were taken in
  rules      TEXT    NOT NULL,
  doc        BLOB    NOT NULL
);
CREATE INDEX suppressing_recall_at ON suppressing_recall (at);

-- +goose Down
DROP TABLE suppressing_versions;
DROP TABLE suppressing_effects;
DROP TABLE suppressing_told;
DROP TABLE suppressing_recall;
