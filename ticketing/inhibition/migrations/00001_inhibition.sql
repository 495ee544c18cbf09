-- +goose Up
-- Rules of inhibition. Times are Unix milliseconds; deleted_at is 0 for a rule
-- that is there.
CREATE TABLE inhibition_rules (
  id         TEXT    NOT NULL PRIMARY KEY,
  doc        TEXT    NOT NULL, -- JSON, the rule
  deleted_at INTEGER NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE inhibition_rules;
