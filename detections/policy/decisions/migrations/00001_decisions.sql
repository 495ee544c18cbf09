-- +goose Up
-- The log of the policies' decisions: doc is in the format of OPA's decision logs.
CREATE TABLE policy_decisions (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    id      TEXT    NOT NULL, -- decision_id
    at      BIGINT  NOT NULL, -- Unix milliseconds
    path    TEXT    NOT NULL, -- icewatch/priority/decision
    tenant  TEXT    NOT NULL,
    alert   TEXT    NOT NULL,
    failed  INTEGER NOT NULL, -- 1 where the policy gave no answer
    doc     TEXT    NOT NULL  -- JSON
);
CREATE INDEX policy_decisions_alert ON policy_decisions (alert, seq);
CREATE INDEX policy_decisions_tenant ON policy_decisions (tenant, seq);

-- +goose Down
DROP TABLE policy_decisions;
