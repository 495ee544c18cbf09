-- +goose Up
-- Each change is a row: the last of a name, language and kind is in force.
-- +goose StatementBegin
CREATE TABLE wordings (
  version  INTEGER PRIMARY KEY AUTOINCREMENT,
  name     TEXT    NOT NULL,
  language TEXT    NOT NULL,             -- zh, en
  kind     TEXT    NOT NULL,             -- of channel; '' for all
  body     TEXT    NOT NULL,             -- JSON; '' where it was removed
  at       INTEGER NOT NULL,             -- Unix milliseconds
  by       TEXT    NOT NULL
);
-- +goose StatementEnd
CREATE INDEX wordings_name ON wordings (name, language, kind, version);

-- +goose Down
DROP TABLE wordings;
