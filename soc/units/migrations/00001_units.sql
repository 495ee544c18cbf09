-- +goose Up
-- Times are Unix milliseconds; lists are JSON arrays of strings.
CREATE TABLE units (
    id         TEXT    NOT NULL PRIMARY KEY,
    parent     TEXT    NOT NULL, -- '' at the top
    name_zh    TEXT    NOT NULL,
    name_en    TEXT    NOT NULL,
    code       TEXT    NOT NULL, -- the city's own code of the unit, such as its unified social credit code; '' where there is none
    region     TEXT    NOT NULL,
    industry   TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    supports   TEXT    NOT NULL, -- the supporting organisation: id of the unit that looks after this one's systems
    labels     TEXT    NOT NULL,
    ceiling    TEXT    NOT NULL, -- data scope that nobody of the unit or below it reaches beyond; '' is no bound
    source     TEXT    NOT NULL, -- '' where people keep it, else the directory it is synchronised from
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL
);
CREATE UNIQUE INDEX units_code ON units (code) WHERE code <> '';
CREATE INDEX units_parent ON units (parent);

-- +goose Down
DROP TABLE units;
