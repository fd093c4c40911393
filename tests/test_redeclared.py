"""A spec that declares a loaded table anew: refused where the table cannot follow, run where it does no harm."""

from __future__ import annotations

from typing import Any

import pytest

from tests.test_bad_input import SPEC, module, run, says

SOURCE = '''\
"""One table per case; each run brings a row."""

import dlt


@dlt.source(name="toy", section="toy")
def toy():
    for name, columns, key in {tables!r}:
        hints = {{"primary_key": key}} if key else {{}}
        yield dlt.resource([{{"id": {run}, "a": 1}}], name=name, columns=columns, write_disposition="merge", **hints)
'''
Columns = dict[str, Any]


def column(data_type: str, **hints: Any) -> Columns:
    return {"a": {"data_type": data_type, **hints}}


WHOLE = column("bigint", nullable=False)
NULLS = ".a takes no null in the warehouse and is declared nullable"
NONE_OF_IT = ".b is declared to have no nulls, and the rows in the warehouse have none of it"
REFUSED: dict[str, tuple[Columns, Columns, str]] = {
    "other_type": (column("bigint"), column("text"), ".a is bigint in the warehouse and declared as text"),
    "nulls": (WHOLE, column("bigint"), NULLS),
    "nulls_said": (WHOLE, column("bigint", nullable=True), NULLS),
    "nulls_undeclared": (WHOLE, {}, NULLS),
    "new_without_nulls": ({}, {"b": {"data_type": "text", "nullable": False}}, NONE_OF_IT),
    "larger_decimal": (
        column("decimal", precision=6, scale=2), column("decimal", precision=8, scale=2),
        ".a is decimal(6, 2) in the warehouse and declared as decimal(8, 2)",
    ),
    "finer_decimal": (
        column("decimal", precision=6, scale=2), column("decimal", precision=6, scale=3),
        ".a is decimal(6, 2) in the warehouse and declared as decimal(6, 3)",
    ),
    "wider_integer": (
        column("bigint", precision=16), column("bigint", precision=32),
        ".a is bigint(16) in the warehouse and declared as bigint(32)",
    ),
    "narrower_integer": (
        column("bigint"), column("bigint", precision=32), ".a is bigint in the warehouse and declared as bigint(32)",
    ),
    "longer_text": (
        column("text", precision=3), column("text", precision=4),
        ".a is text(3) in the warehouse and declared as text(4)",
    ),
}  # fmt: skip
KEYS = [
    ("no_key", "id", None, ": the key is id in the warehouse and declared as none"),
    ("a_key", None, "id", ": the key is none in the warehouse and declared as id"),
    ("another_key", "id", ("id", "a"), ": the key is id in the warehouse and declared as a, id"),
]
HARMLESS: dict[str, tuple[Columns, Columns]] = {
    "no_nulls": (column("bigint"), WHOLE),
    "smaller_decimal": (column("decimal", precision=8, scale=2), column("decimal", precision=6, scale=1)),
    "shorter_text": (column("text", precision=4), column("text", precision=3)),
    "typed": ({}, column("bigint")),
    "other_time": (column("timestamp", precision=3), column("timestamp", timezone=False)),
    "new_column": ({}, {"b": {"data_type": "text"}}),
    "undeclared": (column("text", precision=4), {}),
}


@pytest.fixture
def toy(workspace):
    made = workspace()
    made.write("specs/toy.yaml", SPEC)
    return made


def declares(workspace, number, tables):
    module(workspace, SOURCE.format(tables=tables, run=number))


def test_what_a_loaded_table_cannot_follow_is_refused_before_anything_is_read(toy):
    declares(toy, 1, [*((n, c[0], "id") for n, c in REFUSED.items()), *((n, {}, old) for n, old, _, _ in KEYS)])
    assert run(toy).code == 0
    declares(toy, 2, [*((n, c[1], "id") for n, c in REFUSED.items()), *((n, {}, new) for n, _, new, _ in KEYS)])
    result = run(toy)
    texts = [f"{name}{said}" for name, (_, _, said) in REFUSED.items()] + [f"{key[0]}{key[3]}" for key in KEYS]
    assert (result.code, says(result, "; take the declaration back, or load the table anew with --full-refresh")) == (
        2,
        True,
    )
    assert sorted(result.err.removeprefix("ERROR: toy: ").strip().split("; ")[:-1]) == sorted(texts)
    result = run(toy, "--full-refresh", "--select", "other_type")
    assert (result.code, result.err) == (0, "")
    assert toy.query("SELECT id, a FROM toy.other_type") == [(2, "1")]


@pytest.mark.parametrize("env", ["test", "pg"])
def test_what_a_loaded_table_follows_is_run(toy, request, env):
    if env == "pg":
        toy.postgres(request.getfixturevalue("postgres_url"))
    for number in (1, 2):
        declares(toy, number, [(name, columns[number - 1], "id") for name, columns in HARMLESS.items()])
        result = run(toy, "--output", "json", env=env)
        assert (result.code, result.err) == (0, "")
        assert result.json[0]["tables"] == dict.fromkeys(HARMLESS, 1)
