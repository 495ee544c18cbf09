-- +goose Up
-- What data scopes see of the incident that is told of, as of then.
ALTER TABLE outbox_messages ADD COLUMN reach_unit     TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_messages ADD COLUMN reach_region   TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_messages ADD COLUMN reach_industry TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_messages ADD COLUMN reach_labels   TEXT NOT NULL DEFAULT ''; -- ';a;b;'
ALTER TABLE outbox_attempts ADD COLUMN reach_unit     TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_attempts ADD COLUMN reach_region   TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_attempts ADD COLUMN reach_industry TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox_attempts ADD COLUMN reach_labels   TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE outbox_attempts DROP COLUMN reach_labels;
ALTER TABLE outbox_attempts DROP COLUMN reach_industry;
ALTER TABLE outbox_attempts DROP COLUMN reach_region;
ALTER TABLE outbox_attempts DROP COLUMN reach_unit;
ALTER TABLE outbox_messages DROP COLUMN reach_labels;
ALTER TABLE outbox_messages DROP COLUMN reach_industry;
ALTER TABLE outbox_messages DROP COLUMN reach_region;
ALTER TABLE outbox_messages DROP COLUMN reach_unit;
