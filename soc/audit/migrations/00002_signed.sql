-- +goose Up
-- Records say more (version 2 of the chain's hash covers it; those of version 1
-- keep their hashes and hold nothing in the new columns).
ALTER TABLE audit_records ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE audit_records ADD COLUMN kind    TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN unit    TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN channel TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN client  TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN findings TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN changes TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_records ADD COLUMN times   BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_records_action ON audit_records (action, seq);

-- What was signed: the head in one row, renewed with every transaction, and
-- checkpoints, which stand in a file outside this database too.
CREATE TABLE audit_head (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq       BIGINT NOT NULL,
    hash      TEXT   NOT NULL,
    time      BIGINT NOT NULL,
    key       TEXT   NOT NULL,
    signature TEXT   NOT NULL
);
CREATE TABLE audit_checkpoints (
    n         BIGINT NOT NULL PRIMARY KEY,
    kind      TEXT   NOT NULL,
    seq       BIGINT NOT NULL,
    hash      TEXT   NOT NULL,
    time      BIGINT NOT NULL,
    note      TEXT   NOT NULL,
    key       TEXT   NOT NULL,
    signature TEXT   NOT NULL
);
-- How far each receiver of forwarded records has come.
CREATE TABLE audit_forward (
    target TEXT   NOT NULL PRIMARY KEY,
    seq    BIGINT NOT NULL
);

-- Retention removes what lies under a signed anchor and nothing else.
DROP TRIGGER audit_records_no_delete;
-- +goose StatementBegin
CREATE TRIGGER audit_records_no_delete BEFORE DELETE ON audit_records
WHEN OLD.seq > (SELECT coalesce(max(seq), 0) FROM audit_checkpoints WHERE kind = 'anchor')
BEGIN
    SELECT RAISE(ABORT, 'audit records are deleted under an anchor only');
END;
-- +goose StatementEnd
