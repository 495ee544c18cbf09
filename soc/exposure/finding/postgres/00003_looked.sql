-- +goose Up
-- When an engine looked at an item of the CMDB last, whether it found something or not.
CREATE TABLE exposure_looked (
    item_id        TEXT    NOT NULL PRIMARY KEY,
    tenant         TEXT    NOT NULL,
    unit_id        TEXT    NOT NULL,
    at             BIGINT NOT NULL,
    reach_unit     TEXT    NOT NULL,
    reach_region   TEXT    NOT NULL,
    reach_industry TEXT    NOT NULL,
    reach_labels   TEXT    NOT NULL
);
CREATE INDEX exposure_looked_at ON exposure_looked (at);

-- +goose Down
DROP TABLE exposure_looked;
