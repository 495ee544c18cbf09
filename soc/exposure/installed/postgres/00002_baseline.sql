-- +goose Up
-- The configuration held against the baseline.
ALTER TABLE exposure_installed ADD COLUMN passed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE exposure_installed ADD COLUMN failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE exposure_installed ADD COLUMN unread BIGINT NOT NULL DEFAULT 0; -- could not be read

-- +goose Down
ALTER TABLE exposure_installed DROP COLUMN unread;
ALTER TABLE exposure_installed DROP COLUMN failed;
ALTER TABLE exposure_installed DROP COLUMN passed;
