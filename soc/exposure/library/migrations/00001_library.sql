-- The library of vulnerabilities. level is 0 (not known) to 5 (critical), score
-- CVSS's base score times ten; times are Unix milliseconds, 0 where none is known.

-- +goose Up
-- +goose StatementBegin
CREATE TABLE exposure_vulnerabilities (
    id        TEXT    NOT NULL PRIMARY KEY, -- the CVE id where there is one
    level     INTEGER NOT NULL,
    score     INTEGER NOT NULL,
    epss      REAL NOT NULL,
    exploited INTEGER NOT NULL, -- 1 where it is known to be
    rejected  INTEGER NOT NULL,
    published INTEGER NOT NULL,
    modified  INTEGER NOT NULL,
    line      TEXT    NOT NULL, -- JSON: what lists show
    words     TEXT    NOT NULL  -- what it is found by, in lower case
);
-- +goose StatementEnd
CREATE INDEX exposure_vulnerabilities_published ON exposure_vulnerabilities (published, id);
CREATE INDEX exposure_vulnerabilities_score ON exposure_vulnerabilities (score, id);
CREATE INDEX exposure_vulnerabilities_epss ON exposure_vulnerabilities (epss, id);
CREATE INDEX exposure_vulnerabilities_exploited ON exposure_vulnerabilities (exploited, published, id);

-- What each source says of them: JSON, packed by Zstandard.
-- +goose StatementBegin
CREATE TABLE exposure_vulnerability_records (
    vulnerability TEXT NOT NULL,
    source        TEXT NOT NULL,
    ref           TEXT NOT NULL, -- the source's own id of what it says
    doc           BLOB NOT NULL,
    PRIMARY KEY (vulnerability, source, ref)
);
-- +goose StatementEnd
CREATE INDEX exposure_vulnerability_records_ref ON exposure_vulnerability_records (source, ref);

-- Their other names.
-- +goose StatementBegin
CREATE TABLE exposure_vulnerability_aliases (
    alias         TEXT NOT NULL, -- in upper case
    vulnerability TEXT NOT NULL,
    PRIMARY KEY (alias, vulnerability)
) WITHOUT ROWID;
-- +goose StatementEnd
CREATE INDEX exposure_vulnerability_aliases_of ON exposure_vulnerability_aliases (vulnerability);

-- How likely they are to be exploited, by EPSS, known here or not yet.
-- +goose StatementBegin
CREATE TABLE exposure_epss (
    id         TEXT NOT NULL PRIMARY KEY,
    score      REAL NOT NULL,
    percentile REAL NOT NULL,
    day        TEXT NOT NULL
) WITHOUT ROWID;
-- +goose StatementEnd

-- Which packages and products are affected: doc is JSON.
-- +goose StatementBegin
CREATE TABLE exposure_affected (
    ecosystem     TEXT NOT NULL,
    package       TEXT NOT NULL,
    vulnerability TEXT NOT NULL,
    source        TEXT NOT NULL,
    ref           TEXT NOT NULL,
    doc           TEXT NOT NULL
);
-- +goose StatementEnd
CREATE INDEX exposure_affected_package ON exposure_affected (package, ecosystem);
CREATE INDEX exposure_affected_record ON exposure_affected (vulnerability, source, ref);

-- Files that were imported, or are.
-- +goose StatementBegin
CREATE TABLE exposure_imports (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    format     TEXT    NOT NULL,
    state      TEXT    NOT NULL, -- uploading, queued, checking, importing, done, failed, cancelled
    error      TEXT    NOT NULL,
    size       INTEGER NOT NULL, -- bytes of the file
    received   INTEGER NOT NULL, -- bytes that are here
    checked    INTEGER NOT NULL, -- vulnerabilities found while the file was checked
    written    INTEGER NOT NULL, -- of these, written
    added      INTEGER NOT NULL, -- of these, new to the library
    actor      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL
);
-- +goose StatementEnd
CREATE INDEX exposure_imports_created ON exposure_imports (created_at, id);

-- +goose Down
DROP TABLE exposure_imports;
DROP TABLE exposure_affected;
DROP TABLE exposure_epss;
DROP TABLE exposure_vulnerability_aliases;
DROP TABLE exposure_vulnerability_records;
DROP TABLE exposure_vulnerabilities;
