-- +goose Up
-- What data scopes see of the item an alert or incident is about. '' is none,
-- and the tenant's count: so they do for what there is already.
ALTER TABLE ticketing_alerts ADD COLUMN reach_unit     TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN reach_region   TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN reach_industry TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_alerts ADD COLUMN reach_labels   TEXT NOT NULL DEFAULT ''; -- ';a;b;'
ALTER TABLE ticketing_incidents ADD COLUMN reach_unit     TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_incidents ADD COLUMN reach_region   TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_incidents ADD COLUMN reach_industry TEXT NOT NULL DEFAULT '';
ALTER TABLE ticketing_incidents ADD COLUMN reach_labels   TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE ticketing_incidents DROP COLUMN reach_labels;
ALTER TABLE ticketing_incidents DROP COLUMN reach_industry;
ALTER TABLE ticketing_incidents DROP COLUMN reach_region;
ALTER TABLE ticketing_incidents DROP COLUMN reach_unit;
ALTER TABLE ticketing_alerts DROP COLUMN reach_labels;
ALTER TABLE ticketing_alerts DROP COLUMN reach_industry;
ALTER TABLE ticketing_alerts DROP COLUMN reach_region;
ALTER TABLE ticketing_alerts DROP COLUMN reach_unit;
