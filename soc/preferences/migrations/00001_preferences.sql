-- +goose Up
CREATE TABLE preferences_pages (
  person TEXT    NOT NULL,                     -- id of a user
  page   TEXT    NOT NULL,
  doc    TEXT    NOT NULL,                     -- JSON
  at     INTEGER NOT NULL,                     -- Unix milliseconds
  PRIMARY KEY (person, page)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE preferences_pages;
