-- +goose Up
-- Packages of templates that scanners fetch; their bytes are files.
CREATE TABLE exposure_scan_templates (
    sha256    TEXT    NOT NULL PRIMARY KEY, -- hex
    name      TEXT    NOT NULL UNIQUE,
    size      INTEGER NOT NULL, -- bytes
    count     INTEGER NOT NULL, -- templates
    note      TEXT    NOT NULL,
    actor     TEXT    NOT NULL,
    at        INTEGER NOT NULL, -- Unix milliseconds
    signature BLOB    NOT NULL  -- Ed25519 by the release key
);

-- +goose Down
DROP TABLE exposure_scan_templates;
