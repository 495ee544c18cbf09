-- +goose Up
-- Who an account is at the identity provider it comes from.
CREATE TABLE identity_external (
    provider  TEXT    NOT NULL, -- id in federation_providers
    subject   TEXT    NOT NULL, -- the provider's name for the person, for ever
    user_id   TEXT    NOT NULL UNIQUE REFERENCES identity_users (id) ON DELETE CASCADE,
    gone      BOOLEAN NOT NULL, -- disabled because the provider lets him in no more, not by an administrator
    linked_at BIGINT  NOT NULL, -- Unix milliseconds
    PRIMARY KEY (provider, subject)
);

-- +goose Down
DROP TABLE identity_external;
