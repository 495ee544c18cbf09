-- +goose Up
-- Times are Unix milliseconds.
-- +goose StatementBegin
CREATE TABLE silence_silences (
  id          TEXT    NOT NULL PRIMARY KEY,
  matchers    TEXT    NOT NULL,             -- JSON [{name,value,isRegex,isEqual}]
  starts_at   INTEGER NOT NULL,
  ends_at     INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  created_by  TEXT    NOT NULL,
  comment     TEXT    NOT NULL,
  annotations TEXT    NOT NULL,             -- JSON object, '' for none
  reach       TEXT    NOT NULL              -- JSON, the terms of what it may mute at most
);
-- +goose StatementEnd
CREATE INDEX silence_silences_end ON silence_silences (ends_at);
