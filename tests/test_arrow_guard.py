"""Arrow tables: what is declared holds for them as for rows, and nothing is cast at a loss."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.test_bad_input import SPEC, module, quarantine, run

SOURCE = '''\
"""Arrow tables that a test wrote down as Python."""

import datetime
from decimal import Decimal

import dlt
import pandas as pd
import pyarrow as pa


@dlt.source(name="toy", section="toy")
def toy():
    @dlt.resource(primary_key="id", write_disposition="merge")
    def things({cursor}):
        {body}

    return things
'''
CASTING = '''\
"""One table per case."""

from decimal import Decimal

import dlt
import pyarrow as pa


def things(values):
    yield pa.table({{"id": list(range(len(values))), "n": values}})
    yield pa.table({{"id": [99]}})


@dlt.source(name="toy", section="toy")
def toy():
    {resources}
'''
CAST = "yield dlt.resource({2}, name={0!r}, columns={1!r}, primary_key='id', write_disposition='merge')"


@pytest.fixture
def toy(workspace):
    made = workspace()
    made.write("specs/toy.yaml", SPEC)
    return made


def yields(workspace, *tables, cursor=""):
    body = "\n        ".join(f"yield {table}" for table in tables)
    module(workspace, SOURCE.format(body=body, cursor=cursor))


def reasons(workspace):
    return {entry["reason"] for entry in quarantine(workspace)}


def typed(data_type, **hints):
    return {"n": {"data_type": data_type, **hints}}


CASTS = [
    ("whole", typed("bigint"), "[1.0, 2.5, None]", [(1,), (None,)], ["2.5 is not a bigint"]),
    ("text", typed("bigint"), "['1', 'x']", [(1,)], ["'x' is not a bigint"]),
    ("narrow", typed("bigint", precision=8), "[1, 4242]", [(1,)], ["4242 is not a bigint of 8 bits"]),
    ("exact", typed("decimal", precision=6, scale=2), "[1.25, 1.255]", [(Decimal("1.25"),)],
     ["1.255 is not a decimal of at most 4 digits before and 2 after the point"]),
    ("scaled", typed("decimal", precision=6, scale=2), "[Decimal('1.250'), Decimal('1.255')]", [(Decimal("1.25"),)],
     ["Decimal('1.255') is not a decimal of at most 4 digits before and 2 after the point"]),
    ("moment", typed("timestamp"), "['2024-01-01T00:00:00Z', 'soon']",
     [(datetime(2024, 1, 1, tzinfo=UTC),)], ["'soon' is not a timestamp"]),
    ("day", typed("date"), "[20240101]", [], ["20240101 is not a date"]),
    ("word", typed("text"), "[1, None]", [("1",), (None,)], []),
    ("flag", typed("bool"), "[1, 7]", [(True,)], ["7 is not a bool"]),
    ("number", typed("double"), "[1, 2]", [(1.0,), (2.0,)], []),
    ("document", typed("json"), """['{"a": 1}', '"x"', 'null', 'x', '', None]""",
     [('{"a": 1}',), ('"x"',), ("null",), (None,)], ["'x' is not a json", "'' is not a json"]),
]  # fmt: skip


def test_a_column_of_another_type_is_cast_safely_or_refused(toy):
    tables = [(name, columns, f"things({values})") for name, columns, values, _, _ in CASTS]
    module(toy, CASTING.format(resources="\n    ".join(map(CAST.format, *zip(*tables, strict=True)))))
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    found = {(entry["resource"], entry["reason"]) for entry in quarantine(toy)}
    assert found == {(name, f"n: {text}") for name, *_, refused in CASTS for text in refused}
    for name, _, _, stored, _ in CASTS:
        assert toy.query(f'SELECT n FROM toy."{name}" WHERE id < 99 ORDER BY id') == stored


def test_a_column_keeps_the_type_it_was_loaded_with(toy):
    yields(toy, "pa.table({'id': [1], 'n': [1]})")
    assert run(toy).code == 0
    yields(toy, "pa.table({'id': [2, 3], 'n': [2.0, 2.5]})")
    assert run(toy).code == 3
    assert reasons(toy) == {"n: 2.5 is not a bigint"}
    assert toy.query("SELECT id, n FROM toy.things ORDER BY id") == [(1, 1), (2, 2)]


def test_a_table_that_dlt_would_stop_at(toy):
    yields(
        toy, "pa.table({'id': [1, None], 'at': [7, 8]})", "pa.table({'at': [7]})", "pa.table({'id': [2], 'at': ['x']})",
        "pa.table({'id': [3]})", "pa.table({'id': [4, 5], 'at': [9, None]})",
        "pa.table({'id': [6], 'at': [1], 'At': [1]})",
        "pa.table({'id': [6], 'at': [1], '_dlt_id': ['x']})",
        cursor="at=dlt.sources.incremental('at', initial_value=5)",
    )  # fmt: skip
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    assert reasons(toy) == {
        "id: is missing or null, and must not be", "at: is missing or null, and must not be",
        "at: a string cannot be compared with the values before it", "at: more than one name becomes this column",
        "the name '_dlt_id' belongs to dlt",
    }  # fmt: skip
    assert toy.query('SELECT id, "at" FROM toy.things ORDER BY id') == [(1, 7), (4, 9)]


MISSING = "id: is missing or null, and must not be"
MIXED = [
    ("listed", ["[pa.table({'id': [1, None]}), pa.table({'id': [2]})]"], [1, 2], {MISSING}),
    ("frames", ["[pd.DataFrame({'id': [1.0, None]}), pd.DataFrame({'id': [2]})]", "pd.DataFrame({'id': [3]})"],
     [1, 2, 3], {MISSING}),
    ("rows first", ["[{'id': 1}]", "pa.table({'id': [2, None]})", "[{'id': 3}]"], [1, 2, 3], {MISSING}),
    ("wide", ["pa.table({'id': pa.array([1, 2**64 - 1, 2**63 - 1], pa.uint64())})"], [1, 2**63 - 1],
     {"id: 18446744073709551615 does not fit into 64 bits"}),
]  # fmt: skip


@pytest.mark.parametrize(("pages", "stored", "refused"), [case[1:] for case in MIXED], ids=[case[0] for case in MIXED])
def test_pages_of_tables_and_frames(toy, pages, stored, refused):
    yields(toy, *pages)
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    assert reasons(toy) == refused
    assert toy.query("SELECT id FROM toy.things ORDER BY id") == [(each,) for each in stored]


def test_tables_meet_a_table_of_rows_as_rows_and_rows_after_tables_are_refused(toy):
    yields(toy, "pa.table({'id': [1]})", "[{'id': 2}]")
    result = run(toy)
    said = "toy.things: yields rows after Arrow tables, which dlt cannot put into one table"
    assert (result.code, said in result.err, result.err.count("\n")) == (1, True, 1)
    yields(toy, "pa.table({'id': [1]})")
    assert run(toy).code == 0
    yields(toy, "[{'id': 2}]")
    result = run(toy)
    assert (result.code, said in result.err) == (1, True)
    assert run(toy, "--full-refresh").code == 0
    yields(toy, "pa.table({'id': [3]})")
    assert (run(toy).code, toy.query("SELECT id FROM toy.things ORDER BY id")) == (0, [(2,), (3,)])
