-- +goose Up
-- How whoever reads a notification acknowledges its incident by a link: none,
-- signed_in (the reader has to sign in), anyone (the link is enough).
ALTER TABLE outbox_receivers ADD COLUMN acknowledge  TEXT    NOT NULL DEFAULT 'signed_in';
ALTER TABLE outbox_messages  ADD COLUMN link_used_at INTEGER NOT NULL DEFAULT 0; -- when its link acknowledged the incident
ALTER TABLE outbox_messages  ADD COLUMN link_used_by TEXT    NOT NULL DEFAULT '';

-- What links are signed with, sealed.
CREATE TABLE outbox_keys (id TEXT NOT NULL PRIMARY KEY, secret TEXT NOT NULL);

-- +goose Down
DROP TABLE outbox_keys;
ALTER TABLE outbox_messages  DROP COLUMN link_used_by;
ALTER TABLE outbox_messages  DROP COLUMN link_used_at;
ALTER TABLE outbox_receivers DROP COLUMN acknowledge;
