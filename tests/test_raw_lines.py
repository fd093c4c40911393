"""Raw JSON lines meet the guard that rows meet, and whole pages of good ones and of plain rows pass it unread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import dlt
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.rows.intake import Intake, spooled
from pipelines.rows.quarantine import Intercept, guard
from pipelines.rows.raw_lines import HOPELESS
from tests.test_bad_input import SPEC, module, quarantine, run
from tests.workspace import DESTINATIONS

COLUMNS = {
    "id": {"data_type": "bigint", "nullable": False},
    "at": {"data_type": "timestamp"},
    "day": {"data_type": "date"},
    "price": {"data_type": "decimal", "precision": 6, "scale": 2},
    "code": {"data_type": "text", "precision": 3},
    "place__city": {"data_type": "text"},
    "any": {"data_type": "json"},
}
GOOD = {
    "id": 1, "at": "2024-05-01T10:00:00Z", "day": "2024-02-29", "price": 1.5, "code": "abc", "place": {"city": "Ghent"},
    "any": {"x": [1]}, "free": 0.5, "seen": "2024-05-01T10:00:00+02:00", "tags": [{"k": "a", "n": 1}], "ok": True,
    "marks": [1, 2],
}  # fmt: skip


def intercept(folder: Path, kind: str, **hints: Any) -> Intercept:
    """The guard of a resource with declared columns."""

    @dlt.source(name="toy")
    def toy():
        return dlt.resource([], name="things", primary_key="id", **{"columns": COLUMNS, **hints})

    source, intake = toy(), Intake("toy", folder / "spool.jsonl")
    guard(source, intake, None, kind)
    return next(step for step in source.things._pipe.steps if isinstance(step, Intercept))


def passed(step: Intercept, pages: list[list[Any]]) -> tuple[list[Any], set[tuple[str, str]]]:
    """The rows that pass, parsed, and the others with their reasons."""
    rows = [json.loads(orjson.dumps(row, str)) for page in pages for row in step(page) or ()]
    step.intake.close()
    return rows, {(each.payload, each.reason) for each in spooled(step.intake.spool)}


@contextmanager
def as_a_whole(fewest: int) -> Iterator[None]:
    """Pages of so many rows and more are seen as a whole."""
    with patch("pipelines.rows.raw_lines.FEW", fewest):
        yield


def raw(*rows: Any) -> list[Any]:
    return [orjson.Fragment(row if isinstance(row, bytes) else json.dumps(row)) for row in rows]


def good(**more: Any) -> dict[str, Any]:
    return {**GOOD, **more}


ODD = {
    "text for a number": good(id="x"), "number as a text": good(id="7"), "fraction": good(id=2.5),
    "null": good(id=None),
    "no key": {"at": GOOD["at"]}, "whole float": good(id=2.0), "odd time": good(at="x"),
    "other time": good(at="2024-05"),
    "seconds": good(at=1717171717), "last year": good(at="9999-12-31T23:59:59-14:00"), "no day": good(day="2024-02-30"),
    "fine price": good(price=1), "long price": good(price=1.005), "long code": good(code="four"),
    "number for a text": good(code=12), "place": good(place="Ghent"), "place of lists": good(place={"city": [1]}),
    "json": good(any=3), "text of a text": good(any='"x"'), "text of null": good(any="null"),
    "time in text": good(seen="2024-05-01T10:00:00+24:00"),
    "json of lists": good(any=[[1, "x"]]), "variant": good(free="x"), "big": good(free=2**63),
    "bigger": good(free=2**64), "wide": good(ok=2**63), "same name": good(Free=1),
    "same name below": good(tags=[{"K": 1, "k": 2}]),
    "names of dlt": good(_dlt_id="x"), "no name": good(**{"": 1}), "no name below": good(place={" ": 1}),
    "no name in json": good(any={"": 1}), "new key": good(later={"a": [1]}), "mixed list": good(tags=[{"k": 1}, 2]),
    "mixed list below": good(tags=[None]), "list of lists": good(marks=[[1], [2]]), "NUL": good(note="a\0b"),
    "another time": good(seen="9999-12-31T23:59:59-14:00"), "no time": good(seen="soon"), "deep": good(any=[[[[1]]]]),
    "too deep": good(deep=json.loads("[" * 260 + "]" * 260)), "list": [1], "scalar": 3, "nothing": None,
    "flag": good(ok=3), "mark": good(marks=[2.5]), "word": good(marks=["x"]), "empty": {},
}  # fmt: skip


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_guard_says_of_a_line_what_it_says_of_a_row(odd, kind, tmp_path):
    pages = [
        [good(id=1), good(id=2, free=7)],
        [good(id=3), good(id=4)],
        [good(id=5), odd, good(id=6)],
        [odd],
        [good(id=7)],
    ]
    as_rows = passed(intercept(tmp_path / "rows", kind), pages)
    step = intercept(tmp_path / "lines", kind)
    assert passed(step, [raw(*page) for page in pages]) == as_rows
    with as_a_whole(1):
        assert passed(intercept(tmp_path / "pages", kind), pages) == as_rows
    assert [row["id"] for row in as_rows[0] if isinstance(row, dict) and row.get("id") in range(1, 8)]


NAN, INFINITE = float("nan"), -float("inf")


class Flag(Enum):
    A = 1


NO_JSON = {
    "no number": good(id=NAN), "no price": good(price=INFINITE), "no time": good(at=NAN), "no share": good(free=NAN),
    "no text": good(code=NAN), "no flag": good(ok=NAN), "no word": good(seen=INFINITE), "no json": good(any=NAN),
    "no mark": good(marks=[1, NAN]), "no item": good(tags=[{"k": "a", "n": NAN}]), "no city": good(place={"city": NAN}),
    "no new one": good(new=NAN), "a list": good(tags=NAN), "a time": good(at=datetime(2024, 5, 1, tzinfo=UTC)),
    "a free time": good(free=datetime(2024, 5, 1, tzinfo=UTC)), "a price": good(price=Decimal("1.25")),
    "an id": good(code=UUID(int=1)), "an enum": good(marks=[Flag.A]), "another enum": good(code=Flag.A),
    "a tuple": good(marks=(1, 2)), "a name": good(**{"place": {1: 2}}), "bytes": good(day=b"x"), "a set": good(any={1}),
    "NaN among nulls": good(tags=[{"k": None, "n": None}, {"k": "a", "n": NAN}], price=None),
}  # fmt: skip


@pytest.mark.parametrize("odd", NO_JSON.values(), ids=NO_JSON)
def test_what_json_has_no_word_for_is_found_in_pages_of_rows(odd, tmp_path):
    pages = [[good(id=1), good(id=2, free=7)], [good(id=3, price=None), odd, good(id=5)], [odd], [good(id=6)]]
    in_order = passed(intercept(tmp_path / "rows", "duckdb"), pages)
    with as_a_whole(1):
        assert passed(intercept(tmp_path / "pages", "duckdb"), pages) == in_order


def test_a_page_that_is_doubted_teaches_no_variant(tmp_path):
    page = [good(id=1, any=None), good(id=None, any="2024-05-01T10:00:00Z"), good(id=2, any="soon")]
    with as_a_whole(1):
        step = intercept(tmp_path, "duckdb")
        rows, rejected = passed(step, [[good(id=3)], page])
    assert [row["id"] for row in rows] == [3, 1, 2]
    assert {reason for _, reason in rejected} == {"id: is missing or null, and must not be"}


def test_a_table_whose_pages_are_always_odd_is_looked_at_row_by_row(tmp_path):
    step, odd = intercept(tmp_path, "duckdb"), raw(good(id=1, ok="x"), good(id=2))
    screen = step.targets.of(None).screen
    passed(step, [raw(GOOD), *[raw(GOOD), odd] * HOPELESS, *[odd] * (HOPELESS - 2)])
    assert screen.is_clean(raw(GOOD))
    assert not any(screen.is_clean(page) for page in [odd] * HOPELESS)
    assert not screen.is_clean(raw(GOOD))


BROKEN = [
    b"", b" ", b"{", b'{"id": 1', b'{"id": 1}}', b'{"id": 01}', b'{"id": NaN}', b'{"free": Infinity}', b"{'id': 1}",
    b'{"id": 1,}', b'{"note": "\xff"}', b'{"note": "\\ud800"}', b'{"note": "a\nb"}', b'{"id": 1} {"id": 2}',
    b'{"id": 1}, {"id": 2}', b'{"id": 1}\n{"id": 2}', b'{"free": 1e400}', b"\xef\xbb\xbf{}", b"nonsense",
    b'{"deep": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", b'{"deep": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
]  # fmt: skip


def test_pages_of_good_lines_pass_unread(tmp_path):
    step = intercept(tmp_path, "postgres")
    assert not step.targets.of(None).screen.is_clean(raw(good(), good(id=2)))  # the first page teaches the types
    passed(step, [raw(good(), good(id=2, later=1))])
    assert step.targets.of(None).screen.is_clean(
        raw(good(id=3, later=None), good(id=4, at="2024-05-01 10:00:00.123456", tags=[]))
    )
    assert not step.targets.of(None).screen.is_clean(raw(good(id=5), good(id=6, price=1.005)))


@pytest.mark.parametrize("line", BROKEN, ids=range(len(BROKEN)))
def test_a_line_that_is_no_json_is_set_aside(line, tmp_path):
    step = intercept(tmp_path, "duckdb")
    rows, refused = passed(step, [raw(good(id=1)), raw(good(id=2), line, good(id=3))])
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert [reason.split(":")[0] for _, reason in refused] == ["is not JSON"]


TORN: dict[str, list[bytes]] = {
    "in a text": [b'{"id": 9, "note": "first', b'second"}', b'{"id": 9}, {"id": 9}'],
    "between keys": [b'{"id": 9', b'"note": "x"}', b'{"id": 9}, {"id": 9}'],
    "between records": [b'{"id": 9, "tags": [{"k": "a"}', b'{"k": "b"}]}', b'{"id": 9}, {"id": 9}'],
    "around": [b'{"id": 9}, {"id": 9', b'"note": "x"}'],
    "in a text with braces": [b'{"id": 9, "note": "{', b'}"}', b'{"id": 9}, {"id": 9}'],
    "in balanced texts": [b'{"id": 9, "note": "}', b'{"}', b'{"id": 9}, {"id": 9}'],
    "at the start": [b'"id": 9}, {"id": 9}', b"{"],
    "in a list": [b'{"id": 9}], [{"id": 9}'],
    "out of the list": [b'{"id": 9}]}', b'{"rows": [{"id": 9}'],
    "two keys of one object": [b'{"id": 9}, "x": null'],
    "out of an object": [b'{"id": 9}}, {"": {"id": 9}'],
    "nothing at the end": [b'{"id": 9}}, {', b"[]"],
}  # fmt: skip


@pytest.mark.parametrize("lines", TORN.values(), ids=TORN)
def test_lines_are_not_glued_into_records(lines, tmp_path):
    step = intercept(tmp_path, "duckdb", columns={"id": {"data_type": "bigint"}})
    passed(step, [raw(good(id=1, note="x"))])
    page = raw(good(id=2), *lines, good(id=3))
    assert not step.targets.of(None).screen.is_clean(page)
    rows, refused = passed(step, [page])
    assert [row["id"] for row in rows] == [2, 3]
    assert len(refused) == len(set(lines))


def test_a_key_may_stand_twice_in_a_line_and_the_last_one_counts(tmp_path):
    line = json.dumps(good(id=2))[:-1].encode() + b', "id": 3}'
    rows, refused = passed(intercept(tmp_path, "duckdb"), [raw(good()), raw(line)])
    assert ([row["id"] for row in rows], refused) == ([1, 3], set())


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 300), st.floats(-1e4, 1e4), st.sampled_from([2**63, 2.0, 1e300, 1.25]),
    st.sampled_from(["", "x", "7", "2024-05-01", "2024-05-01T10:00:00Z", "9999-12-31T23:59:59-05:00", "a\0"]),
)  # fmt: skip
ANY = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("kK_n"), inner), max_leaves=3
)
CHANGES = st.dictionaries(st.sampled_from([*GOOD, "Free", "new", "_dlt_id", " "]), ANY, max_size=2)


@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(st.lists(CHANGES, min_size=1, max_size=3), min_size=1, max_size=4),
    kind=st.sampled_from(["duckdb", "postgres"]),
)
@example(changes=[[{"free": 1}], [{"free": 2.5}]], kind="duckdb")
def test_whatever_stands_in_lines_the_guard_says_what_it_says_of_rows(changes, kind, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guard")
    pages = [
        [GOOD],
        *(
            [good(id=number, **change) if "id" not in change else good(**change) for number, change in enumerate(page)]
            for page in changes
        ),
    ]
    as_rows = passed(intercept(folder / "rows", kind), pages)
    assert passed(intercept(folder / "lines", kind), [raw(*page) for page in pages]) == as_rows
    with as_a_whole(1):
        assert passed(intercept(folder / "pages", kind), pages) == as_rows


SOURCE = '''\
"""Raw lines, as landing yields them."""

import dlt
import orjson

LINES = {lines!r}


@dlt.source(name="toy", section="toy")
def toy():
    @dlt.resource(primary_key="id", write_disposition="merge", columns={columns!r})
    def things({cursor}):
        for start in range(0, len(LINES), 50):
            yield [orjson.Fragment(line) for line in LINES[start : start + 50]]

    return things
'''


@pytest.mark.parametrize("cursor", ["", 'id=dlt.sources.incremental("id")'], ids=["no cursor", "a cursor"])
def test_a_run_sets_bad_lines_aside_and_loads_the_others_by_columns(cursor, workspace):
    made = workspace()
    made.write("specs/toy.yaml", SPEC)
    lines = [json.dumps({"id": number, "n": {"k": number}, "l": [{"x": 1}]}).encode() for number in range(300)]
    lines[70:70] = [b'{"id": null}', b'{"id": "x"}', b'{"id": 900, "N": 1, "n": 2}', b"{"]
    module(made, SOURCE.format(lines=lines, columns={"id": {"data_type": "bigint"}}, cursor=cursor))
    result = run(made, "toy", "--run-id", "one")
    assert result.code == 3, result
    assert made.query("SELECT count(*), count(DISTINCT id), max(n__k) FROM toy.things") == [(300, 300, 299)]
    assert len(quarantine(made)) == 4
    taken = json.loads((made.root / "runs/one/metrics.json").read_text())["gears"]
    assert taken["arrow"]["records"] == 300 - taken["rows"]["records"]


ON_LINES = """\
import dlt
import orjson


@dlt.source(name="toy", section="toy")
def toy():
    return things


@dlt.resource(primary_key="id", write_disposition="merge", columns={"id": {"data_type": "bigint"}})
def things():
    yield orjson.Fragment(b'{"id": 0,\\r\\n"text": "a\\\\nb"}')
    yield [orjson.Fragment(b'{\\n"id": %d, "text": "a"}' % n) for n in range(1, 200)]
"""


@pytest.mark.parametrize("raw", ["", "keep_raw = true\n"], ids=["at once", "through raw files"])
def test_a_raw_row_may_stand_on_several_lines(workspace, raw):
    made = workspace()
    made.write("destinations.toml", DESTINATIONS.replace("[test]\n", f"[test]\n{raw}", 1))
    made.source("toy", ON_LINES)
    run = made.etl("run", "toy", "--env", "test")
    assert run.code == 0, run
    assert made.query("SELECT count(*), min(text), max(text) FROM toy.things") == [(200, "a", "a\nb")]
