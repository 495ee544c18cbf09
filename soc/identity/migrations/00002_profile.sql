-- +goose Up
ALTER TABLE identity_users ADD COLUMN email TEXT NOT NULL DEFAULT '';
ALTER TABLE identity_users ADD COLUMN phone TEXT NOT NULL DEFAULT '';
ALTER TABLE identity_users ADD COLUMN unit TEXT NOT NULL DEFAULT '';        -- id of soc/units
ALTER TABLE identity_users ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE identity_users ADD COLUMN source TEXT NOT NULL DEFAULT '';      -- '' is local, else the identity provider
ALTER TABLE identity_users ADD COLUMN valid_from BIGINT;                    -- the account's life; NULL does not bind
ALTER TABLE identity_users ADD COLUMN valid_until BIGINT;
CREATE INDEX identity_users_unit ON identity_users (unit, username);

-- Pictures of users, 128 by 128 pixels, PNG.
CREATE TABLE identity_avatars (
    user_id TEXT NOT NULL PRIMARY KEY REFERENCES identity_users (id) ON DELETE CASCADE,
    image   BLOB NOT NULL
);

-- +goose Down
DROP TABLE identity_avatars;
DROP INDEX identity_users_unit;
