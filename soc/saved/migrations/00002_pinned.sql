-- +goose Up
ALTER TABLE saved_preferences ADD COLUMN pinned TEXT NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE saved_preferences DROP COLUMN pinned;
