-- What the link of a notification of several incidents acknowledges: their ids,
-- separated by commas; '' where it is of one.
-- +goose Up
ALTER TABLE outbox_messages ADD COLUMN link_incidents TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE outbox_messages DROP COLUMN link_incidents;
