-- +goose Up
-- Second factors, only ever confirmed ones.
CREATE TABLE identity_totp (
    user_id    TEXT   NOT NULL PRIMARY KEY REFERENCES identity_users (id) ON DELETE CASCADE,
    secret     TEXT   NOT NULL, -- base32, sealed
    last_step  BIGINT NOT NULL, -- the time step of the last code taken: no code is taken twice
    created_at BIGINT NOT NULL
);

CREATE TABLE identity_keys (
    id            TEXT   NOT NULL PRIMARY KEY,
    user_id       TEXT   NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    credential_id TEXT   NOT NULL UNIQUE, -- base64url
    name          TEXT   NOT NULL,
    credential    TEXT   NOT NULL, -- JSON: public key, flags, counter
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT
);
CREATE INDEX identity_keys_user ON identity_keys (user_id);

CREATE TABLE identity_recovery (
    user_id   TEXT NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    code_hash TEXT NOT NULL, -- hex SHA-256: a code has 120 random bits
    PRIMARY KEY (user_id, code_hash)
);

-- +goose Down
DROP TABLE identity_recovery;
DROP TABLE identity_keys;
DROP TABLE identity_totp;
