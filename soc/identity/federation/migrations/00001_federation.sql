-- +goose Up
-- Times are Unix milliseconds.
CREATE TABLE federation_providers (
    id         TEXT   NOT NULL PRIMARY KEY,
    doc        TEXT   NOT NULL, -- JSON, without secrets
    secrets    TEXT   NOT NULL, -- JSON, sealed
    metadata   TEXT   NOT NULL, -- SAML: as last read from metadata_url
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- What signing out at the provider needs to know of a session of ours.
CREATE TABLE federation_sessions (
    session_id   TEXT   NOT NULL PRIMARY KEY, -- of identity_sessions
    provider     TEXT   NOT NULL,
    subject      TEXT   NOT NULL,
    peer_session TEXT   NOT NULL, -- the provider's name for its session, '' where it has none
    hint         TEXT   NOT NULL, -- OIDC's ID token, sealed; '' where there is none
    created_at   BIGINT NOT NULL
);
CREATE INDEX federation_sessions_peer ON federation_sessions (provider, subject);
CREATE INDEX federation_sessions_age ON federation_sessions (created_at);

-- Assertions and logout tokens that were used, until they expire.
CREATE TABLE federation_used (
    id         TEXT   NOT NULL PRIMARY KEY, -- hex SHA-256 of provider and the message's id
    expires_at BIGINT NOT NULL
);
CREATE INDEX federation_used_expiry ON federation_used (expires_at);

CREATE TABLE federation_syncs (
    id         TEXT   NOT NULL PRIMARY KEY,
    provider   TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    state      TEXT   NOT NULL,
    is_full    BOOLEAN NOT NULL,
    dry_run    BOOLEAN NOT NULL,
    doc        TEXT   NOT NULL  -- JSON
);
CREATE INDEX federation_syncs_provider ON federation_syncs (provider, started_at);

-- +goose Down
DROP TABLE federation_syncs;
DROP TABLE federation_used;
DROP TABLE federation_sessions;
DROP TABLE federation_providers;
