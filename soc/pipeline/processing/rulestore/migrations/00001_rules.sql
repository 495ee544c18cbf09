-- +goose Up
-- Times are Unix milliseconds; body is a processing.Rule as JSON.
CREATE TABLE processing_rules (
    id         TEXT    NOT NULL PRIMARY KEY,
    position   INTEGER NOT NULL,
    tenant     TEXT    NOT NULL, -- '' is all
    revision   BIGINT  NOT NULL,
    body       TEXT    NOT NULL,
    updated_at BIGINT  NOT NULL,
    updated_by TEXT    NOT NULL
);

-- +goose Down
DROP TABLE processing_rules;
