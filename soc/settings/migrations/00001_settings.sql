-- +goose Up
-- Each change of a document is a row; the newest of a name is in force.
CREATE TABLE settings (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT    NOT NULL,
    at   BIGINT  NOT NULL, -- Unix milliseconds
    by   TEXT    NOT NULL, -- who changed it
    doc  TEXT    NOT NULL  -- JSON
);
CREATE INDEX settings_name ON settings (name, seq);

-- +goose Down
DROP TABLE settings;
