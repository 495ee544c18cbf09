-- +goose Up
-- A silence that recurs: its rule in iCalendar's words, how long each time
-- lasts, and by which clock; '' and 0 for one that is once. Without data
-- collection alerts are dropped and counted. Whoever owns it is told before it
-- ends and when it has.
ALTER TABLE silence_silences ADD COLUMN rrule    TEXT    NOT NULL DEFAULT '';
ALTER TABLE silence_silences ADD COLUMN lasts    INTEGER NOT NULL DEFAULT 0; -- milliseconds
ALTER TABLE silence_silences ADD COLUMN zone     TEXT    NOT NULL DEFAULT '';
ALTER TABLE silence_silences ADD COLUMN no_data  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE silence_silences ADD COLUMN dropped  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE silence_silences ADD COLUMN owner    TEXT    NOT NULL DEFAULT '';
ALTER TABLE silence_silences ADD COLUMN receiver TEXT    NOT NULL DEFAULT '';
ALTER TABLE silence_silences ADD COLUMN noticed  TEXT    NOT NULL DEFAULT ''; -- soon, over

-- +goose Down
ALTER TABLE silence_silences DROP COLUMN noticed;
ALTER TABLE silence_silences DROP COLUMN receiver;
ALTER TABLE silence_silences DROP COLUMN owner;
ALTER TABLE silence_silences DROP COLUMN dropped;
ALTER TABLE silence_silences DROP COLUMN no_data;
ALTER TABLE silence_silences DROP COLUMN zone;
ALTER TABLE silence_silences DROP COLUMN lasts;
ALTER TABLE silence_silences DROP COLUMN rrule;
