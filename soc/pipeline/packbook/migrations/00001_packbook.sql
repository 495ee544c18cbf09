-- +goose Up
CREATE TABLE own_packs (
    pack     TEXT    NOT NULL, -- <vendor>/<product>
    revision INTEGER NOT NULL,
    at       INTEGER NOT NULL, -- Unix milliseconds
    by       TEXT    NOT NULL,
    action   TEXT    NOT NULL, -- created, changed, restored or deleted
    note     TEXT    NOT NULL,
    source   TEXT    NOT NULL, -- pack.yml; of a deletion as it was before
    samples  TEXT    NOT NULL,
    golden   TEXT    NOT NULL,
    PRIMARY KEY (pack, revision)
);

-- +goose Down
DROP TABLE own_packs;
