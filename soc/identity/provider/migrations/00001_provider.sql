-- +goose Up
-- Times are Unix milliseconds. An application is read and written whole, so it
-- is one JSON document; its secrets stand beside it and not in it.
CREATE TABLE provider_applications (
    id          TEXT   NOT NULL PRIMARY KEY,
    doc         TEXT   NOT NULL,
    secret_hash TEXT   NOT NULL DEFAULT '', -- hex SHA-256; the secret itself is kept nowhere
    icon        BLOB,
    icon_type   TEXT   NOT NULL DEFAULT ''
);

CREATE TABLE provider_signing_keys (
    id              TEXT   NOT NULL PRIMARY KEY, -- the kid
    algorithm       TEXT   NOT NULL,
    private         TEXT   NOT NULL,             -- PKCS #8, sealed by the master key
    created_at      BIGINT NOT NULL,
    published_until BIGINT                       -- NULL while it signs
);

-- A grant is what one sign-in to one application brought: a code at first, then
-- the tokens that hang on it. Ending it ends them all.
CREATE TABLE provider_grants (
    id              TEXT   NOT NULL PRIMARY KEY,
    application     TEXT   NOT NULL REFERENCES provider_applications (id) ON DELETE CASCADE,
    user_id         TEXT   NOT NULL,
    session_id      TEXT   NOT NULL,
    scopes          TEXT   NOT NULL, -- separated by spaces
    nonce           TEXT   NOT NULL,
    redirect_uri    TEXT   NOT NULL,
    challenge       TEXT   NOT NULL, -- PKCE, S256; '' where none was sent
    auth_time       BIGINT NOT NULL,
    code_hash       TEXT   NOT NULL UNIQUE,
    code_expires_at BIGINT NOT NULL,
    code_used_at    BIGINT,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX provider_grants_session ON provider_grants (session_id);
CREATE INDEX provider_grants_application ON provider_grants (application);
CREATE INDEX provider_grants_expiry ON provider_grants (expires_at);

CREATE TABLE provider_tokens (
    hash        TEXT   NOT NULL PRIMARY KEY, -- hex SHA-256; the token itself is kept nowhere
    kind        TEXT   NOT NULL,             -- access or refresh
    grant_id    TEXT   REFERENCES provider_grants (id) ON DELETE CASCADE, -- NULL: the application's own (client_credentials)
    application TEXT   NOT NULL REFERENCES provider_applications (id) ON DELETE CASCADE,
    scopes      TEXT   NOT NULL,
    issued_at   BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    used_at     BIGINT                       -- of a refresh token: when it was exchanged
);
CREATE INDEX provider_tokens_grant ON provider_tokens (grant_id);
CREATE INDEX provider_tokens_application ON provider_tokens (application);
CREATE INDEX provider_tokens_expiry ON provider_tokens (expires_at);

CREATE TABLE provider_consents (
    user_id     TEXT   NOT NULL,
    application TEXT   NOT NULL REFERENCES provider_applications (id) ON DELETE CASCADE,
    scopes      TEXT   NOT NULL,
    given_at    BIGINT NOT NULL,
    PRIMARY KEY (user_id, application)
);

-- The client assertions (private_key_jwt) already seen, so that none works twice.
CREATE TABLE provider_assertions (
    hash       TEXT   NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE provider_assertions;
DROP TABLE provider_consents;
DROP TABLE provider_tokens;
DROP TABLE provider_grants;
DROP TABLE provider_signing_keys;
DROP TABLE provider_applications;
