-- +goose Up
-- Merge rules with all their versions; the last version of an id is the one
-- that counts. doc is '' where the rule was deleted. Times are Unix
-- milliseconds.
CREATE TABLE merging_rules (
  version    INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL,
  doc        TEXT    NOT NULL, -- JSON, the rule
  at         INTEGER NOT NULL,
  by         TEXT    NOT NULL
);
CREATE INDEX merging_rules_id ON merging_rules (id, version);

-- +goose Down
DROP TABLE merging_rules;
