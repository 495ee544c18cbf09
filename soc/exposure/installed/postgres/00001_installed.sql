-- +goose Up
-- What is installed on hosts and how far it was judged by the library of vulnerabilities.
CREATE TABLE exposure_installed (
    id        TEXT    NOT NULL PRIMARY KEY, -- of the agent, or item: and the id of the CMDB's item
    tenant    TEXT    NOT NULL,
    item      TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    platform  TEXT    NOT NULL, -- distribution and release, or the product and its version
    mark      TEXT    NOT NULL, -- of what was judged and by what
    judged_at BIGINT NOT NULL,
    packages  BIGINT NOT NULL,
    findings  BIGINT NOT NULL,
    covered   BIGINT NOT NULL,
    error     TEXT    NOT NULL
);
CREATE INDEX exposure_installed_tenant ON exposure_installed (tenant);

-- +goose Down
DROP TABLE exposure_installed;
