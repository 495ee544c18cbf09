-- An entry of a relation names the item at its other end. Who may not see that
-- item must not learn of it from the history of one that he sees.

-- +goose Up
ALTER TABLE cmdb_history ADD COLUMN other_id TEXT NOT NULL DEFAULT '';
UPDATE cmdb_history
SET other_id = coalesce(changes::json -> 0 ->> 'after', changes::json -> 0 ->> 'before', '')
WHERE changes LIKE '[{"field":"relation.%' OR changes LIKE '[{"field":"related.%';

-- +goose Down
ALTER TABLE cmdb_history DROP COLUMN other_id;
