-- +goose Up
-- Times are Unix milliseconds; lists are JSON arrays of strings.
CREATE TABLE masking_rules (
    id           TEXT    NOT NULL PRIMARY KEY,
    name_zh      TEXT    NOT NULL,
    name_en      TEXT    NOT NULL,
    description  TEXT    NOT NULL,
    enabled      BOOLEAN NOT NULL,
    builtin      BOOLEAN NOT NULL,
    fields       TEXT    NOT NULL,
    pattern      TEXT    NOT NULL,
    check_digit  TEXT    NOT NULL, -- '', luhn or id-card
    method       TEXT    NOT NULL, -- full, keep or hash
    first        INTEGER NOT NULL, -- characters that keep leaves at the beginning
    last         INTEGER NOT NULL, -- and at the end
    strict       BOOLEAN NOT NULL, -- filters do not see the text of events that have one of the fields
    exempt_roles TEXT    NOT NULL,
    updated_at   BIGINT  NOT NULL,
    updated_by   TEXT    NOT NULL
);

-- The key of the method hash, so that marks stay the same; sealed.
CREATE TABLE masking_keys (
    id     TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL
);

-- +goose Down
DROP TABLE masking_keys;
DROP TABLE masking_rules;
