-- +goose Up
-- A user's data scope: an expression of soc/reach, '' is no condition.
ALTER TABLE identity_users ADD COLUMN reach TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE identity_users DROP COLUMN reach;
