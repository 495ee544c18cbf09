-- Items of the CMDB that a discovery holds to be one host.

-- +goose Up
CREATE TABLE exposure_surface_duplicates (
    id     TEXT    NOT NULL PRIMARY KEY, -- of the tenant and the two items
    tenant TEXT    NOT NULL,
    zone   TEXT    NOT NULL,
    keep   TEXT    NOT NULL, -- id of the item that would stay
    gone   TEXT    NOT NULL,
    state  TEXT    NOT NULL, -- open, merged, dismissed or undone
    seen   INTEGER NOT NULL, -- by a discovery, last
    doc    TEXT    NOT NULL
);
CREATE INDEX exposure_surface_duplicates_state ON exposure_surface_duplicates (tenant, state, seen);

-- +goose Down
DROP TABLE exposure_surface_duplicates;
