-- +goose Up
-- A tenant that somebody removed stays hidden though its catalogue entry is
-- there: removed_at alone says that the entry is gone.
ALTER TABLE tenants ADD COLUMN deleted_at INTEGER;                      -- Unix milliseconds; NULL where nobody removed it
ALTER TABLE tenants ADD COLUMN deleted_by TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN reason     TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN class      TEXT NOT NULL DEFAULT '';     -- retention class; '' is the catalogue entry's

-- +goose Down
ALTER TABLE tenants DROP COLUMN class;
ALTER TABLE tenants DROP COLUMN reason;
ALTER TABLE tenants DROP COLUMN deleted_by;
ALTER TABLE tenants DROP COLUMN deleted_at;
