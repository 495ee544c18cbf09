-- Which addresses of a tenant may be scanned. doc is JSON.

-- +goose Up
CREATE TABLE exposure_scopes (
    id     TEXT    NOT NULL PRIMARY KEY,
    tenant TEXT    NOT NULL,
    asked  INTEGER NOT NULL, -- Unix milliseconds
    doc    TEXT    NOT NULL
);
CREATE INDEX exposure_scopes_tenant ON exposure_scopes (tenant, asked);

-- +goose Down
DROP TABLE exposure_scopes;
