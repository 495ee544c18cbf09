-- Which alerts people have looked at, each for himself.
-- +goose Up
CREATE TABLE ticketing_reads (
  person TEXT    NOT NULL,
  alert  TEXT    NOT NULL,
  at     INTEGER NOT NULL,                      -- Unix milliseconds
  PRIMARY KEY (person, alert)
) WITHOUT ROWID;
CREATE INDEX ticketing_reads_age ON ticketing_reads (at);

-- +goose Down
DROP TABLE ticketing_reads;
