-- +goose Up
-- Times are Unix milliseconds, 0 where there is none.
CREATE TABLE backtests (
    id         TEXT   NOT NULL PRIMARY KEY,
    owner      TEXT   NOT NULL, -- user id
    state      TEXT   NOT NULL, -- queued, running, done, failed or cancelled
    created_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    doc        TEXT   NOT NULL, -- JSON
    findings   TEXT   NOT NULL  -- JSON; '' where there are none
);
CREATE INDEX backtests_owner ON backtests (owner, created_at);

-- +goose Down
DROP TABLE backtests;
