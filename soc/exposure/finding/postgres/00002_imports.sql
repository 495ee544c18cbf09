-- +goose Up
-- Reports that people took in. change is what undo names.
CREATE TABLE exposure_finding_imports (
    change   TEXT    NOT NULL PRIMARY KEY,
    tenant   TEXT    NOT NULL, -- whose is what the CMDB did not know, '' where none was named
    name     TEXT    NOT NULL, -- of the file
    engine   TEXT    NOT NULL,
    actor    TEXT    NOT NULL,
    at       BIGINT NOT NULL,
    hosts    BIGINT NOT NULL,
    new      BIGINT NOT NULL,
    again    BIGINT NOT NULL,
    reopened BIGINT NOT NULL,
    gone     BIGINT NOT NULL,
    undone   BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX exposure_finding_imports_at ON exposure_finding_imports (at);

-- +goose Down
DROP TABLE exposure_finding_imports;
