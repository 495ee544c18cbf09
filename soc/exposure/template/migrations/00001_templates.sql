-- +goose Up
-- Templates of vulnerability-scan reports that people uploaded; the shipped ones are in the program.
CREATE TABLE exposure_templates (
    id   TEXT    NOT NULL PRIMARY KEY,
    text TEXT    NOT NULL, -- YAML
    author TEXT    NOT NULL,
    at   INTEGER NOT NULL
);
CREATE TABLE exposure_template_choice (name TEXT NOT NULL PRIMARY KEY, template TEXT NOT NULL);

-- +goose Down
DROP TABLE exposure_template_choice;
DROP TABLE exposure_templates;
