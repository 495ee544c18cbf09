"""Answers Sigma rules by pySigma and SQLite, for comparison with our matcher.

Reads from standard input one JSON object: "rules", a list of YAML texts, and
"events", a list of objects of field name to value (text, number as {"n": text},
true, false) beside which "" holds the text that keywords are searched in.
Writes for each rule one line of JSON: {"rows": [indices of the events that
match], "fields": [names the query asks for]} or {"error": why pySigma or SQLite
cannot answer it}.
"""

import json
import re
import sqlite3
import sys

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import FieldMappingTransformation
from sigma.rule import SigmaDetectionItem
from sigma.types import SigmaCompareExpression, SigmaFieldReference

KEYWORDS = "keywords"


def items(detection):
    for item in detection.detection_items:
        if isinstance(item, SigmaDetectionItem):
            yield item
        else:
            yield from items(item)


def main():
    task = json.load(sys.stdin)
    rules, columns, numeric = [], {}, set()
    for text in task["rules"]:
        try:
            rule = SigmaCollection.from_yaml(text).rules[0]
            for detection in rule.detection.detections.values():
                for item in items(detection):
                    names = [item.field] + [v.field for v in item.value if isinstance(v, SigmaFieldReference)]
                    for name in names:
                        if name is not None:
                            columns.setdefault(name, f"c{len(columns)}")
                    if any(isinstance(v, SigmaCompareExpression) for v in item.value):
                        numeric.add(item.field)
            rules.append(rule)
        except Exception as e:
            rules.append(e)

    db = sqlite3.connect(":memory:")
    compiled = {}

    def regexp(expression, value):
        if value is None:
            return None
        if expression not in compiled:
            compiled[expression] = re.compile(expression)
        return compiled[expression].search(str(value)) is not None

    db.create_function("REGEXP", 2, regexp, deterministic=True)
    # Letters compare in any case; where rules ask for more or less, numbers as such.
    kinds = [f"{c} {'NUMERIC' if f in numeric else 'TEXT'} COLLATE NOCASE" for f, c in columns.items()]
    db.execute(f"CREATE TABLE logs (id INTEGER PRIMARY KEY, {KEYWORDS} TEXT{''.join(', ' + k for k in kinds)})")
    for i, event in enumerate(task["events"]):
        row = {KEYWORDS: event.get("", "")}
        for name, value in event.items():
            if name in columns:
                if isinstance(value, dict):
                    value = value["n"]
                elif isinstance(value, bool):
                    value = "true" if value else "false"
                row[columns[name]] = value
        db.execute(f"INSERT INTO logs (id, {', '.join(row)}) VALUES (?{', ?' * len(row)})", [i, *row.values()])

    mapping = ProcessingPipeline(items=[ProcessingItem(transformation=FieldMappingTransformation(columns))])
    backend = sqliteBackend(mapping, fulltext_field=KEYWORDS)
    names = {c: f for f, c in columns.items()}
    for rule in rules:
        answer = {}
        try:
            if isinstance(rule, Exception):
                raise rule
            rows = set()
            for query in backend.convert_rule(rule):
                rows.update(r[0] for r in db.execute(query.replace("SELECT *", "SELECT id", 1)))
            answer = {"rows": sorted(rows), "fields": [names.get(f, "") for f in backend.required_fields(rule)]}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer))


main()
