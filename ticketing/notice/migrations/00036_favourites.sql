-- What people keep in view, each for himself.
-- +goose Up
CREATE TABLE notice_favourites (
  person TEXT    NOT NULL,
  notice TEXT    NOT NULL REFERENCES notice_notices (id),
  at     INTEGER NOT NULL,                      -- Unix milliseconds
  PRIMARY KEY (person, notice)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE notice_favourites;
