-- +goose Up
-- Times are Unix milliseconds; lists are JSON arrays.
CREATE TABLE access_roles (
    id          TEXT    NOT NULL PRIMARY KEY,
    name_zh     TEXT    NOT NULL,
    name_en     TEXT    NOT NULL,
    about_zh    TEXT    NOT NULL,
    about_en    TEXT    NOT NULL,
    scopes      TEXT    NOT NULL,
    operations  TEXT    NOT NULL,
    delegated   BOOLEAN NOT NULL, -- holds in the holder's own unit and below only
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);

CREATE TABLE access_groups (
    id          TEXT    NOT NULL PRIMARY KEY,
    kind        TEXT    NOT NULL CHECK (kind IN ('group', 'post', 'project')),
    name_zh     TEXT    NOT NULL,
    name_en     TEXT    NOT NULL,
    description TEXT    NOT NULL,
    unit        TEXT    NOT NULL, -- '' is the whole city's
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);

CREATE TABLE access_members (
    group_id TEXT   NOT NULL REFERENCES access_groups (id) ON DELETE CASCADE,
    user_id  TEXT   NOT NULL REFERENCES identity_users (id) ON DELETE CASCADE,
    since    BIGINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX access_members_user ON access_members (user_id);

-- A role given to a user or to all of a group, perhaps at times and in places only.
CREATE TABLE access_grants (
    id         TEXT    NOT NULL PRIMARY KEY,
    role       TEXT    NOT NULL,
    user_id    TEXT    REFERENCES identity_users (id) ON DELETE CASCADE,
    group_id   TEXT    REFERENCES access_groups (id) ON DELETE CASCADE,
    not_before BIGINT,           -- NULL does not bind
    not_after  BIGINT,
    weekdays   TEXT    NOT NULL, -- of 1 (Monday) to 7; [] does not bind
    from_time  INTEGER,          -- minute of the day
    to_time    INTEGER,
    networks   TEXT    NOT NULL, -- CIDRs; [] does not bind
    reason     TEXT    NOT NULL,
    granted_by TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    CHECK ((user_id IS NULL) <> (group_id IS NULL))
);
CREATE INDEX access_grants_user ON access_grants (user_id);
CREATE INDEX access_grants_group ON access_grants (group_id);
CREATE INDEX access_grants_role ON access_grants (role);

-- +goose Down
DROP TABLE access_grants;
DROP TABLE access_members;
DROP TABLE access_groups;
DROP TABLE access_roles;
