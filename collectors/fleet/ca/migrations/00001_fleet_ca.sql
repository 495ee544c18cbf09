-- +goose Up
CREATE TABLE fleet_keys (
    id      TEXT    PRIMARY KEY, -- authority or release
    public  BLOB    NOT NULL,    -- the authority's certificate in DER; the release key's public half
    secret  TEXT    NOT NULL,    -- PKCS#8 in base64, sealed
    made_at INTEGER NOT NULL     -- Unix milliseconds
);

-- +goose Down
DROP TABLE fleet_keys;
