-- +goose Up
-- Packages of templates that scanners fetch; their bytes are files.
CREATE TABLE exposure_scan_templates (
    sha256    TEXT    NOT NULL PRIMARY KEY, -- hex
    name      TEXT    NOT NULL UNIQUE,
    size      BIGINT NOT NULL, -- bytes
    count     BIGINT NOT NULL, -- templates
    note      TEXT    NOT NULL,
    actor     TEXT    NOT NULL,
    at        BIGINT NOT NULL, -- Unix milliseconds
    signature BYTEA   NOT NULL  -- Ed25519 by the release key
);

-- +goose Down
DROP TABLE exposure_scan_templates;
