-- +goose Up
-- Every password a user had, the present one among them: its age, and that it
-- does not come again.
CREATE TABLE identity_passwords (
    user_id TEXT   NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    hash    TEXT   NOT NULL, -- PHC string, argon2id
    set_at  BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);
-- Those there are count from the day they were last changed at the latest.
INSERT INTO identity_passwords (user_id, hash, set_at) SELECT id, password_hash, updated_at FROM identity_users;

-- Browsers that a user has signed in with.
CREATE TABLE identity_devices (
    id           TEXT   NOT NULL PRIMARY KEY,
    secret_hash  TEXT   NOT NULL UNIQUE, -- hex SHA-256 of the cookie
    user_id      TEXT   NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    user_agent   TEXT   NOT NULL,
    address      TEXT   NOT NULL, -- of the last sign-in
    created_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX identity_devices_user ON identity_devices (user_id, last_seen_at);

-- Failed sign-ins by what they count against, so that a restart forgives nobody.
CREATE TABLE identity_failures (
    key          TEXT   NOT NULL PRIMARY KEY,
    count        BIGINT NOT NULL,
    last_at      BIGINT NOT NULL,
    locked_until BIGINT NOT NULL
);

ALTER TABLE identity_sessions ADD COLUMN last_address TEXT NOT NULL DEFAULT '';
ALTER TABLE identity_sessions ADD COLUMN channel TEXT NOT NULL DEFAULT 'password';
ALTER TABLE identity_sessions ADD COLUMN device_id TEXT NOT NULL DEFAULT '';
ALTER TABLE identity_sessions ADD COLUMN findings TEXT NOT NULL DEFAULT '[]';
ALTER TABLE identity_sessions ADD COLUMN confirmed_at BIGINT NOT NULL DEFAULT 0; -- when the user last proved to be there

ALTER TABLE identity_tokens ADD COLUMN owner TEXT NOT NULL DEFAULT '';       -- the user it acts for, '' for a service's
ALTER TABLE identity_tokens ADD COLUMN addresses TEXT NOT NULL DEFAULT '[]'; -- CIDRs it may be used from, none is anywhere
ALTER TABLE identity_tokens ADD COLUMN last_address TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE identity_tokens DROP COLUMN last_address;
ALTER TABLE identity_tokens DROP COLUMN addresses;
ALTER TABLE identity_tokens DROP COLUMN owner;
ALTER TABLE identity_sessions DROP COLUMN confirmed_at;
ALTER TABLE identity_sessions DROP COLUMN findings;
ALTER TABLE identity_sessions DROP COLUMN device_id;
ALTER TABLE identity_sessions DROP COLUMN channel;
ALTER TABLE identity_sessions DROP COLUMN last_address;
DROP TABLE identity_failures;
DROP TABLE identity_devices;
DROP TABLE identity_passwords;
