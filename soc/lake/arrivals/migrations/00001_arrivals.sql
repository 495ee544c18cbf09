-- +goose Up
CREATE TABLE arrivals (
    epoch  TEXT    NOT NULL, -- of the bus
    first  INTEGER NOT NULL, -- batches from this one
    last   INTEGER NOT NULL, -- to this one
    came   INTEGER NOT NULL, -- when the bus took the first, Unix milliseconds
    ended  INTEGER NOT NULL, -- when it took the last
    events INTEGER NOT NULL, -- how many were stored of them
    total  INTEGER NOT NULL, -- of this and all stretches before
    spans  TEXT    NOT NULL, -- times of the events: JSON, pairs of Unix nanoseconds
    PRIMARY KEY (epoch, last, first)
) WITHOUT ROWID;
CREATE INDEX arrivals_ended ON arrivals (ended);

-- +goose Down
DROP TABLE arrivals;
