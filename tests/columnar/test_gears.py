"""Runs take the fast gears, say so, and can be told not to; bad rows are set aside whichever gear the others take."""

from __future__ import annotations

import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from dlt.normalize import worker

from pipelines.columnar import columnar
from pipelines.columnar.normalizer import FEW
from tests.toys import rows, toy
from tests.warehouse import Ask

GEARS = {
    "arrow": {"tags": [{"tag": "a"}], "place": {"city": "Delft"}},
    "dicts": {"anything": [1, "x", {"y": 2}]},
    "rows": {"tags": [[1], {"tag": "a"}]},
}


@pytest.fixture
def engine(workspace):
    """A workspace without rows."""
    return workspace()


def gears(engine, run: str) -> dict[str, dict[str, float]]:
    return json.loads((engine.root / "runs" / run / "metrics.json").read_text())["gears"]


def test_a_run_takes_the_arrow_gear_but_for_the_few_rows_that_teach(engine):
    toy(engine, rows(1000, **GEARS["arrow"]))
    assert engine.etl("run", "toy", "--env", "test", "--select", "things", "--run-id", "one").code == 0
    assert gears(engine, "one") == {
        "arrow": {"records": 1000 - FEW, "share": round(1 - FEW / 1000, 4)},
        "rows": {"records": FEW, "share": round(FEW / 1000, 4)},
    }
    assert engine.query("SELECT count(*), count(DISTINCT _dlt_parent_id) FROM toy.things__tags") == [(1000, 1000)]


def test_the_first_page_waits_for_no_more_than_the_few_rows(engine):
    toy(engine, rows(FEW + 1))
    engine.etl("run", "toy", "--env", "test", "--select", "things", "--run-id", "one")
    assert gears(engine, "one")["rows"]["records"] == FEW


@pytest.mark.parametrize(("packed", "has_dictionaries"), [("none", False), ("snappy", True)])
def test_only_files_that_are_packed_have_dictionaries(engine, packed, has_dictionaries):
    toy(engine, rows(1000, note="again"))
    settings = {"DATA_WRITER__COMPRESSION": packed, "DATA_WRITER__VERSION": "1.0"}
    assert engine.etl("run", "toy", "--env", "test", "--select", "things", **settings).code == 0
    found = [pq.ParquetFile(file).metadata for file in engine.root.rglob("things.*.parquet")]
    cut = next(file for file in found if file.num_rows == 1000 - FEW)
    notes = next(c for c in map(cut.row_group(0).column, range(cut.num_columns)) if c.path_in_schema == "note")
    assert (notes.has_dictionary_page, cut.format_version) == (has_dictionaries, "1.0")


@pytest.mark.parametrize("gear", GEARS)
def test_bad_rows_are_set_aside_in_every_gear(engine, gear):
    good = rows(300, **GEARS[gear])
    bad = [{"id": None, "n": number} for number in range(3)] + [{"id": 900, "amount": "much"}]
    toy(engine, [*good[:100], *bad[:2], *good[100:299], *bad[2:], *good[299:]])
    result = engine.etl("run", "toy", "--env", "test", "--select", "things", "--run-id", "one", "--output", "json")
    taken = gears(engine, "one")
    assert result.code == 3
    assert result.json[0]["rejected"] == {"things": 4}
    assert engine.query("SELECT count(*) FROM _etl.quarantine") == [(4,)]
    assert engine.query("SELECT count(*), count(DISTINCT id), min(id) FROM toy.things") == [(300, 300, 1)]
    assert max(taken, key=lambda name: taken[name]["records"]) == gear, taken


@pytest.mark.parametrize("off", [{"ENGINE__COLUMNAR": "0"}, ".dlt/config.toml", ".dlt/test.config.toml"])
def test_a_setting_leaves_it_to_dlt(engine, off):
    toy(engine, rows(200, **GEARS["arrow"]))
    if isinstance(off, str):
        engine.write(off, "[engine]\ncolumnar = false\n")
    else:
        engine.variables |= off
    assert engine.etl("run", "toy", "--env", "test", "--select", "things", "--run-id", "one").code == 0
    assert gears(engine, "one") == {}
    assert engine.query("SELECT count(*) FROM toy.things__tags") == [(200,)]


def test_postgres_gets_empty_texts_as_they_are_and_counts_rows(engine, postgres_url):
    engine.postgres(postgres_url)
    toy(engine, rows(300, note="", tags=[{"tag": ""}]))
    result = engine.etl("run", "toy", "--env", "pg", "--select", "things", "--run-id", "one", "--output", "json")
    assert result.json[0]["tables"] == {"things": 300, "things__tags": 300}
    assert set(gears(engine, "one")) == {"arrow", "rows"}
    ask = Ask(engine, postgres_url)
    assert ask("SELECT note, count(*) FROM toy.things GROUP BY note") == [("", 300)]
    assert ask("SELECT tag, count(*) FROM toy.things__tags GROUP BY tag") == [("", 300)]


def test_a_setting_that_is_neither_true_nor_false_is_refused(engine):
    toy(engine, rows(2))
    result = engine.etl("run", "toy", "--env", "test", ENGINE__COLUMNAR="perhaps")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "engine.columnar: 'perhaps' is neither true nor false" in result.err


def test_dlt_has_its_own_normaliser_back_after_a_failure():
    stock = worker.JsonLItemsNormalizer
    with pytest.raises(KeyError):
        _fail_inside()
    assert worker.JsonLItemsNormalizer is stock


def _fail_inside():
    stock = worker.JsonLItemsNormalizer
    with columnar(Counter()):
        assert worker.JsonLItemsNormalizer is not stock
        raise KeyError
