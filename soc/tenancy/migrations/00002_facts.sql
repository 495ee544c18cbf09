-- +goose Up
-- What the data scopes see of a tenant, set at run time; '' is not set.
ALTER TABLE tenants ADD COLUMN unit     TEXT NOT NULL DEFAULT ''; -- id of the organisation it belongs to
ALTER TABLE tenants ADD COLUMN region   TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN industry TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN labels   TEXT NOT NULL DEFAULT '[]'; -- JSON array

-- +goose Down
ALTER TABLE tenants DROP COLUMN labels;
ALTER TABLE tenants DROP COLUMN industry;
ALTER TABLE tenants DROP COLUMN region;
ALTER TABLE tenants DROP COLUMN unit;
