-- +goose Up
-- The master keys in use. A key that stands here and is missing from the key
-- file was lost. kinds lists, by name and comma-separated, the kinds whose
-- values were all found under this key or brought under it.
-- +goose StatementBegin
CREATE TABLE seal_keys (
  id    TEXT NOT NULL PRIMARY KEY,
  kinds TEXT NOT NULL
);
-- +goose StatementEnd
