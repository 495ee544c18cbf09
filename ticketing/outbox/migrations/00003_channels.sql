-- +goose Up
-- A receiver may be any channel. A webhook of before has no settings here: its
-- url and secret stand in columns of its row.
-- +goose StatementBegin
CREATE TABLE outbox_settings (
  receiver TEXT NOT NULL PRIMARY KEY,
  settings TEXT NOT NULL              -- JSON, sealed
);
-- +goose StatementEnd
ALTER TABLE outbox_receivers ADD COLUMN kind          TEXT    NOT NULL DEFAULT 'webhook';
ALTER TABLE outbox_receivers ADD COLUMN note          TEXT    NOT NULL DEFAULT '';
ALTER TABLE outbox_receivers ADD COLUMN language      TEXT    NOT NULL DEFAULT 'zh';
ALTER TABLE outbox_receivers ADD COLUMN wording       TEXT    NOT NULL DEFAULT ''; -- name of a wording
ALTER TABLE outbox_receivers ADD COLUMN every         INTEGER NOT NULL DEFAULT 1;  -- told of every incident; else of what routes send
ALTER TABLE outbox_receivers ADD COLUMN disabled      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox_receivers ADD COLUMN updated_at    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox_receivers ADD COLUMN updated_by    TEXT    NOT NULL DEFAULT '';
ALTER TABLE outbox_messages  ADD COLUMN thread        TEXT    NOT NULL DEFAULT '';
ALTER TABLE outbox_messages  ADD COLUMN route         TEXT    NOT NULL DEFAULT '';
ALTER TABLE outbox_messages  ADD COLUMN people        TEXT    NOT NULL DEFAULT ''; -- names of users, comma-separated
ALTER TABLE outbox_messages  ADD COLUMN reached       TEXT    NOT NULL DEFAULT ''; -- recipients that have it, comma-separated
ALTER TABLE outbox_messages  ADD COLUMN title         TEXT    NOT NULL DEFAULT '';
ALTER TABLE outbox_messages  ADD COLUMN error         TEXT    NOT NULL DEFAULT ''; -- of the last attempt
ALTER TABLE outbox_messages  ADD COLUMN since         INTEGER NOT NULL DEFAULT 0;  -- from when its age counts; 0 for created_at
ALTER TABLE outbox_messages  ADD COLUMN sent_again_by TEXT    NOT NULL DEFAULT '';
ALTER TABLE outbox_attempts  ADD COLUMN channel       TEXT    NOT NULL DEFAULT 'webhook';
ALTER TABLE outbox_attempts  ADD COLUMN carried       TEXT    NOT NULL DEFAULT ''; -- delivery that it was merged into
CREATE INDEX outbox_attempts_receiver ON outbox_attempts (receiver, at);
CREATE INDEX outbox_attempts_delivery ON outbox_attempts (delivery, id);

-- +goose Down
DROP INDEX outbox_attempts_delivery;
DROP INDEX outbox_attempts_receiver;
ALTER TABLE outbox_attempts  DROP COLUMN carried;
ALTER TABLE outbox_attempts  DROP COLUMN channel;
ALTER TABLE outbox_messages  DROP COLUMN sent_again_by;
ALTER TABLE outbox_messages  DROP COLUMN since;
ALTER TABLE outbox_messages  DROP COLUMN error;
ALTER TABLE outbox_messages  DROP COLUMN title;
ALTER TABLE outbox_messages  DROP COLUMN reached;
ALTER TABLE outbox_messages  DROP COLUMN people;
ALTER TABLE outbox_messages  DROP COLUMN route;
ALTER TABLE outbox_messages  DROP COLUMN thread;
ALTER TABLE outbox_receivers DROP COLUMN updated_by;
ALTER TABLE outbox_receivers DROP COLUMN updated_at;
ALTER TABLE outbox_receivers DROP COLUMN disabled;
ALTER TABLE outbox_receivers DROP COLUMN every;
ALTER TABLE outbox_receivers DROP COLUMN wording;
ALTER TABLE outbox_receivers DROP COLUMN language;
ALTER TABLE outbox_receivers DROP COLUMN note;
ALTER TABLE outbox_receivers DROP COLUMN kind;
DROP TABLE outbox_settings;
