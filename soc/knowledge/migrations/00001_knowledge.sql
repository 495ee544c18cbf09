-- +goose Up
-- Articles of the knowledge base with all their versions; the last version of an
-- id is the one that counts. doc is '' where the article was deleted. Times are
-- Unix milliseconds.
CREATE TABLE knowledge_versions (
  version    INTEGER PRIMARY KEY AUTOINCREMENT,
  id         TEXT    NOT NULL,
  doc        TEXT    NOT NULL, -- JSON, the article
  at         INTEGER NOT NULL,
  by         TEXT    NOT NULL
);
CREATE INDEX knowledge_versions_id ON knowledge_versions (id, version);

-- +goose Down
DROP TABLE knowledge_versions;
