-- +goose Up
-- Times are Unix milliseconds; lists are JSON arrays of strings.
CREATE TABLE identity_users (
    id                   TEXT    NOT NULL PRIMARY KEY,
    username             TEXT    NOT NULL UNIQUE, -- folded to lower case
    display_name         TEXT    NOT NULL,
    password_hash        TEXT    NOT NULL,        -- PHC string, argon2id
    roles                TEXT    NOT NULL,
    all_tenants          BOOLEAN NOT NULL,
    tenants              TEXT    NOT NULL,
    locale               TEXT    NOT NULL DEFAULT '',
    must_change_password BOOLEAN NOT NULL,
    disabled             BOOLEAN NOT NULL,
    created_at           BIGINT  NOT NULL,
    updated_at           BIGINT  NOT NULL,
    last_login_at        BIGINT
);

CREATE TABLE identity_sessions (
    id           TEXT   NOT NULL PRIMARY KEY,
    token_hash   TEXT   NOT NULL UNIQUE, -- hex SHA-256; the token itself is kept nowhere
    user_id      TEXT   NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    address      TEXT   NOT NULL,
    user_agent   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX identity_sessions_user ON identity_sessions (user_id, created_at);
CREATE INDEX identity_sessions_expiry ON identity_sessions (expires_at);

CREATE TABLE identity_tokens (
    id           TEXT   NOT NULL PRIMARY KEY,
    token_hash   TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    tenant       TEXT   NOT NULL, -- '' is every tenant
    scopes       TEXT   NOT NULL,
    created_by   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    last_used_at BIGINT
);

-- +goose Down
DROP TABLE identity_tokens;
DROP TABLE identity_sessions;
DROP TABLE identity_users;
