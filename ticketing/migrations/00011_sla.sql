-- +goose Up
-- The clock of an incident: when it is warned of what comes due, and was; by
-- which calendar the solution counts; its pauses; a device fault that was
-- confirmed. 0 means "has not happened" or "is not to happen", '' around the
-- clock or no fault.
ALTER TABLE ticketing_incidents ADD COLUMN ack_warn       INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN resolve_warn   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN ack_warned     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN resolve_warned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN calendar       TEXT    NOT NULL DEFAULT '';
ALTER TABLE ticketing_incidents ADD COLUMN paused_at      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN paused_for     TEXT    NOT NULL DEFAULT ''; -- key of the reason
ALTER TABLE ticketing_incidents ADD COLUMN paused_ms      INTEGER NOT NULL DEFAULT 0;  -- of the pauses that are over
ALTER TABLE ticketing_incidents ADD COLUMN fault          TEXT    NOT NULL DEFAULT ''; -- online, offline
ALTER TABLE ticketing_incidents ADD COLUMN propose_due    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN proposed_at    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ticketing_incidents ADD COLUMN propose_breach INTEGER NOT NULL DEFAULT 0;
-- When the clock has to be looked at next to warn; 0 where it has not.
ALTER TABLE ticketing_incidents ADD COLUMN warn_at        INTEGER NOT NULL DEFAULT 0;
CREATE INDEX ticketing_incidents_warn ON ticketing_incidents (warn_at) WHERE warn_at > 0;

-- +goose Down
DROP INDEX ticketing_incidents_warn;
ALTER TABLE ticketing_incidents DROP COLUMN warn_at;
ALTER TABLE ticketing_incidents DROP COLUMN propose_breach;
ALTER TABLE ticketing_incidents DROP COLUMN proposed_at;
ALTER TABLE ticketing_incidents DROP COLUMN propose_due;
ALTER TABLE ticketing_incidents DROP COLUMN fault;
ALTER TABLE ticketing_incidents DROP COLUMN paused_ms;
ALTER TABLE ticketing_incidents DROP COLUMN paused_for;
ALTER TABLE ticketing_incidents DROP COLUMN paused_at;
ALTER TABLE ticketing_incidents DROP COLUMN calendar;
ALTER TABLE ticketing_incidents DROP COLUMN resolve_warned;
ALTER TABLE ticketing_incidents DROP COLUMN ack_warned;
ALTER TABLE ticketing_incidents DROP COLUMN resolve_warn;
ALTER TABLE ticketing_incidents DROP COLUMN ack_warn;
