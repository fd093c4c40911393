"""A toy spec with models and with a check of every kind, those that hold and those that do not."""

from __future__ import annotations

from typing import Any

from tests.toys import toy
from tests.workspace import Workspace

SPEC = """\
name: toy
about: A source for tests of checks and models.
python: {}
checks:
"""
BY_KIND = """\
SELECT
    kind,
    CAST(date_trunc('month', changed) AS DATE) AS month,
    count(*) AS things,
    count(CASE WHEN amount > 3 THEN 1 END) / count(*) AS share,
    CAST(sum(amount) AS BIGINT) AS amount,
    max(changed) AS newest
FROM things
WHERE kind NOT LIKE 'z%'
GROUP BY kind, CAST(date_trunc('month', changed) AS DATE)
"""
TAGGED = """\
WITH things AS (SELECT * FROM things WHERE amount > 1)
SELECT by_kind.kind, t.id, tags.tag
FROM toy.things AS t
JOIN things USING (id)
JOIN things__tags AS tags ON tags._dlt_parent_id = t._dlt_id
JOIN by_kind ON by_kind.kind = t.kind
"""
MODELS = """\
models:
  by_kind:
    about: It's what "things" there are, 100% of them.
    columns: {share: Part above 3.}
  tagged: {about: Things with their tags., materialized: view, columns: {tag: One tag.}}
checks:
  - {unique: by_kind.kind}
  - {not_null: tagged.tag, severity: warn}
"""


def rows() -> list[dict[str, Any]]:
    """Six things: two share a kind with a quote in it, two have no `of`, one has no tags."""
    kinds = ["a", "a", "b", "it's", "it's", "c"]
    return [
        {
            "id": number,
            "changed": f"2024-01-0{number}T23:30:00Z",
            "amount": number + 0.25,
            "kind": kind,
            "of": (None, 1, 2)[number % 3],
            "tags": [{"tag": f"{number}.{tag}"} for tag in range(number - 1)],
        }
        for number, kind in enumerate(kinds, 1)
    ]


def install(workspace: Workspace, checks: str = "", models: str = MODELS) -> Workspace:
    """Write the spec with these checks, its source, its rows and its models."""
    toy(workspace, rows())
    workspace.write("specs/toy.yaml", SPEC + checks if checks else SPEC.replace("checks:\n", ""))
    workspace.write("models/toy/by_kind.sql", BY_KIND)
    workspace.write("models/toy/tagged.sql", TAGGED)
    workspace.write("models/toy/models.yaml", models)
    return workspace
