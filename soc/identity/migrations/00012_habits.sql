-- +goose Up
-- What a user usually does when signing in, counted.
CREATE TABLE identity_habits (
    user_id TEXT   NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    kind    TEXT   NOT NULL, -- network, client, hour, channel
    value   TEXT   NOT NULL,
    count   BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, kind, value)
);

-- The last accesses of each user.
CREATE TABLE identity_accesses (
    id       TEXT   NOT NULL PRIMARY KEY,
    user_id  TEXT   NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    at       BIGINT NOT NULL,
    event    TEXT   NOT NULL, -- sign-in, refused, roaming
    address  TEXT   NOT NULL,
    client   TEXT   NOT NULL,
    channel  TEXT   NOT NULL,
    findings TEXT   NOT NULL
);
CREATE INDEX identity_accesses_user ON identity_accesses (user_id, at);

-- +goose Down
DROP TABLE identity_accesses;
DROP TABLE identity_habits;
