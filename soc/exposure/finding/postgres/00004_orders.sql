-- +goose Up
-- Work orders of findings, what they are of, and what happened to them. Times are Unix
-- milliseconds, 0 where there is none.
-- +goose StatementBegin
CREATE TABLE exposure_finding_orders (
    id          TEXT    NOT NULL PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    due_at      BIGINT NOT NULL, -- the earliest of the findings'
    state       TEXT    NOT NULL, -- open, done, withdrawn
    made_by     TEXT    NOT NULL,
    made_at     BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    note        TEXT    NOT NULL, -- what came out of it
    change      TEXT    NOT NULL, -- of the findings, when it was made
    done_change TEXT    NOT NULL  -- of the findings, when it was done
);
-- +goose StatementEnd
CREATE INDEX exposure_finding_orders_made ON exposure_finding_orders (made_at, id);
-- +goose StatementBegin
CREATE TABLE exposure_finding_order_members (
    order_id TEXT NOT NULL,
    finding  TEXT NOT NULL,
    said     TEXT NOT NULL, -- the finding's state as the order has it
    PRIMARY KEY (order_id, finding)
);
-- +goose StatementEnd
CREATE INDEX exposure_finding_order_members_finding ON exposure_finding_order_members (finding);
-- +goose StatementBegin
CREATE TABLE exposure_finding_order_events (
    id       BIGSERIAL PRIMARY KEY,
    order_id TEXT    NOT NULL,
    at       BIGINT NOT NULL,
    actor    TEXT    NOT NULL,
    zh       TEXT    NOT NULL,
    en       TEXT    NOT NULL,
    told     BIGINT NOT NULL -- 1 once the systems that have the order are told, or need not be
);
-- +goose StatementEnd
CREATE INDEX exposure_finding_order_events_order ON exposure_finding_order_events (order_id, id);
CREATE INDEX exposure_finding_order_events_told ON exposure_finding_order_events (id) WHERE told = 0;

-- +goose Down
DROP TABLE exposure_finding_order_events;
DROP TABLE exposure_finding_order_members;
DROP TABLE exposure_finding_orders;
