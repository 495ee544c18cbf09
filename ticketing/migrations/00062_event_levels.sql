-- +goose Up
-- The level of data-security events as it was judged last, with what it was judged
-- of (stamp), the category of the data and the data-processing activity.
CREATE TABLE ticketing_event_levels (
  incident  TEXT    PRIMARY KEY,
  level     INTEGER NOT NULL,
  category  TEXT    NOT NULL DEFAULT '',
  activity  TEXT    NOT NULL DEFAULT '',
  stamp     TEXT    NOT NULL,
  judged_at INTEGER NOT NULL,                   -- Unix milliseconds
  doc       TEXT    NOT NULL
);
-- What people answered of an event.
CREATE TABLE ticketing_event_answers (
  incident TEXT    NOT NULL,
  factor   TEXT    NOT NULL,
  answer   TEXT    NOT NULL,
  by       TEXT    NOT NULL,
  at       INTEGER NOT NULL,                    -- Unix milliseconds
  PRIMARY KEY (incident, factor)
);

-- +goose Down
DROP TABLE ticketing_event_answers;
DROP TABLE ticketing_event_levels;
