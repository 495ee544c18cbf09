-- +goose Up
-- A row is never deleted and an account id never given out again: the lake
-- keeps a tenant's data under that number until retention takes it.
CREATE TABLE tenants (
    account_id INTEGER PRIMARY KEY,
    slug       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL, -- Unix milliseconds
    removed_at INTEGER           -- Unix milliseconds; NULL while the tenant is there
);

-- +goose Down
DROP TABLE tenants;
