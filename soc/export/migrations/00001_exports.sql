-- +goose Up
-- Times are Unix milliseconds, 0 where there is none; lists are JSON arrays of strings.
CREATE TABLE exports (
    id          TEXT   NOT NULL PRIMARY KEY,
    owner       TEXT   NOT NULL, -- user id
    owner_name  TEXT   NOT NULL,
    bound       TEXT   NOT NULL, -- tenants the request was narrowed to; none for all of the owner's
    origin      TEXT   NOT NULL, -- user, or monitor:<id>
    name        TEXT   NOT NULL,
    query       TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    log_group   TEXT   NOT NULL,
    start_at    BIGINT NOT NULL,
    end_at      BIGINT NOT NULL,
    format      TEXT   NOT NULL,
    bom         BIGINT NOT NULL,
    fields      TEXT   NOT NULL,
    max_rows    BIGINT NOT NULL,
    kept        BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    attempts    BIGINT NOT NULL, -- how often it began
    rows        BIGINT NOT NULL,
    estimated   BIGINT NOT NULL, -- -1 where it cannot be told
    bytes       BIGINT NOT NULL,
    sheets      BIGINT NOT NULL,
    notes       TEXT   NOT NULL,
    error       TEXT   NOT NULL,
    file        TEXT   NOT NULL, -- in the folder of exports; '' where there is none
    created_at  BIGINT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX exports_owner ON exports (owner, created_at);
CREATE INDEX exports_state ON exports (state, created_at);

-- +goose Down
DROP TABLE exports;
