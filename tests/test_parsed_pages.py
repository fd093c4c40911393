"""What the guard has parsed is not parsed again, and is what the text says."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from pipelines.columnar import arrow_rows
from pipelines.parsed_pages import START, ParsedPages
from tests.test_bad_input import SPEC, module, run


def text(*rows: Any) -> bytes:
    return json.dumps(rows).encode()[1:-1]


def records(*rows: Any) -> pa.StructArray:
    return pa.array(rows)


def page(*texts: bytes) -> bytes:
    """Texts as dlt writes them: one list."""
    return b"[" + b",".join(texts) + b"]"


@pytest.fixture
def pages(tmp_path):
    made = ParsedPages(tmp_path / "state")
    yield made
    made.close()


LONG = "x" * START
ONE, TWO, THREE = [{"note": LONG, "id": 1}, {"note": "a", "id": 2}], [{"note": LONG, "id": 3}], [{"note": LONG}]


def test_pages_are_found_one_after_the_other(pages):
    for each in (ONE, TWO, TWO):
        pages.keep(text(*each), records(*each))
    for order in ([ONE], [TWO, ONE], [ONE, TWO, TWO], [ONE, ONE]):
        found = pages.find(page(*(text(*each) for each in order)))
        assert found.to_pylist() == [row for each in order for row in each]


@pytest.mark.parametrize(
    "other",
    [
        b"[]", page(text(*ONE), text({"note": LONG, "id": 4})), page(text({"note": LONG, "id": 9}), text(*ONE)),
        page(text(ONE[0])), page(text(*ONE, *ONE)), page(text(*ONE))[:-3] + b"8}]", page(text(*ONE), text(*THREE)),
    ],
    ids=range(7),
)  # fmt: skip
def test_a_list_of_which_anything_is_unknown_is_not_found(other, pages):
    for each in (ONE, THREE):
        pages.keep(text(*each), records(*each))
    assert pages.find(other) is None


SOURCE = '''\
"""Pages of rows or of raw lines, {form}."""

import dlt
import orjson


@dlt.source(name="toy", section="toy")
def toy():
    @dlt.resource(primary_key="id", write_disposition="merge")
    def things({cursor}):
        for first in range(0, 14_000, {size}):
            rows = [
                {{"id": first + n, "at": "2024-05-01T10:00:00Z", "x": n / 2, "s": {{"k": str(n)}}, "l": [{{"y": n}}]}}
                for n in range({size})
            ]
            yield [orjson.Fragment(orjson.dumps(row)) for row in rows] if "{form}" == "lines" else rows

    return things
'''


@pytest.mark.parametrize("cursor", ["", 'id=dlt.sources.incremental("id")'], ids=["no cursor", "a cursor"])
@pytest.mark.parametrize("form", ["lines", "rows"])
def test_a_run_parses_only_what_came_before_the_types_were_known(form, cursor, workspace, monkeypatch):
    made, parsed = workspace(), list[int]()
    made.write("specs/toy.yaml", SPEC)
    module(made, SOURCE.format(form=form, cursor=cursor, size=700))
    read = arrow_rows._parsed
    monkeypatch.setattr(arrow_rows, "_parsed", lambda *given: parsed.append(1) or read(*given))
    assert run(made, "toy", "--run-id", "one").code == 0
    assert made.query("SELECT count(*), sum(id), sum(x), max(s__k) FROM toy.things") == [
        (14_000, 97_993_000, 20 * 122_325.0, "99")
    ]
    assert made.query("SELECT count(*), sum(y) FROM toy.things__l") == [(14_000, 20 * 244_650)]
    assert json.loads((made.root / "runs/one/metrics.json").read_text())["gears"]["rows"]["records"] == 64
    assert len(parsed) == 1
