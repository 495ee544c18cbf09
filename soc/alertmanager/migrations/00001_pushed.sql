-- +goose Up
-- Times are Unix milliseconds.
-- +goose StatementBegin
CREATE TABLE alertmanager_pushed (
  tenant      TEXT    NOT NULL,
  fingerprint TEXT    NOT NULL,             -- of the labels as they were sent
  labels      TEXT    NOT NULL,             -- JSON object
  annotations TEXT    NOT NULL,             -- JSON object
  url         TEXT    NOT NULL,             -- generatorURL
  starts_at   INTEGER NOT NULL,
  ends_at     INTEGER NOT NULL,             -- when it is over unless it is sent again
  updated_at  INTEGER NOT NULL,             -- last sent
  since       INTEGER NOT NULL,             -- when this firing was sent first
  firing      INTEGER NOT NULL,             -- 1, 2, … as it fires again after it was over
  told        INTEGER NOT NULL,             -- the firing ticketing knows of
  over        INTEGER NOT NULL,             -- the firing ticketing knows to be over
  PRIMARY KEY (tenant, fingerprint)
) WITHOUT ROWID;
-- +goose StatementEnd
CREATE INDEX alertmanager_pushed_untold ON alertmanager_pushed (firing) WHERE told < firing;
CREATE INDEX alertmanager_pushed_end ON alertmanager_pushed (ends_at) WHERE over < firing;
CREATE INDEX alertmanager_pushed_print ON alertmanager_pushed (fingerprint);
CREATE INDEX alertmanager_pushed_age ON alertmanager_pushed (updated_at);
