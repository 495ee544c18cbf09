-- +goose Up
ALTER TABLE identity_users ADD COLUMN avatar_at BIGINT; -- when the picture was set; NULL where there is none

-- +goose Down
ALTER TABLE identity_users DROP COLUMN avatar_at;
