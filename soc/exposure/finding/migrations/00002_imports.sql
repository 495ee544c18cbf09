-- +goose Up
-- Reports that people took in. change is what undo names.
CREATE TABLE exposure_finding_imports (
    change   TEXT    NOT NULL PRIMARY KEY,
    tenant   TEXT    NOT NULL, -- whose is what the CMDB did not know, '' where none was named
    name     TEXT    NOT NULL, -- of the file
    engine   TEXT    NOT NULL,
    actor    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    hosts    INTEGER NOT NULL,
    new      INTEGER NOT NULL,
    again    INTEGER NOT NULL,
    reopened INTEGER NOT NULL,
    gone     INTEGER NOT NULL,
    undone   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX exposure_finding_imports_at ON exposure_finding_imports (at);

-- +goose Down
DROP TABLE exposure_finding_imports;
