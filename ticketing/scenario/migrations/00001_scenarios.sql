-- +goose Up
-- Scenarios with all their versions; the last version of an id is the one that
-- counts. doc is '' where the scenario was deleted. Times are Unix milliseconds.
CREATE TABLE scenario_versions (
  version    INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL,
  doc        TEXT    NOT NULL, -- JSON, the scenario
  at         INTEGER NOT NULL,
  by         TEXT    NOT NULL
);
CREATE INDEX scenario_versions_id ON scenario_versions (id, version);

-- +goose Down
DROP TABLE scenario_versions;
