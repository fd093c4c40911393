"""How rows are merged into DuckDB: out of the files of their load, each of them written once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from pipelines.duckdb import duckdb

Rows = list[dict[str, Any]]
FIRST: Rows = [{"id": 1, "of": "a", "tags": ["x", "y"]}, {"id": 2, "of": "b", "tags": ["z"]}]
SECOND: Rows = [{"id": 2, "of": "c", "tags": []}, {"id": 3, "of": "d", "tags": ["w"]}]
UNTAGGED = [{"id": 1, "of": "a"}, {"id": 2, "of": "b"}]
LEFT = ([(1, "a"), (2, "c"), (3, "d")], [("w",), ("x",), ("y",)])


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dlt.Pipeline]:
    monkeypatch.setenv("LOAD__RAISE_ON_MAX_RETRIES", "1")
    folder = tmp_path / "it's [here]; 50 %s"
    made = dlt.pipeline("merging", pipelines_dir=str(tmp_path / "state"), destination=duckdb(str(folder / "w.duckdb")))
    folder.mkdir()
    yield made
    made.deactivate()


@pytest.mark.parametrize(("file_format", "staged"), [("parquet", []), ("insert_values", ["things", "things__tags"])])
def test_rows_of_a_load_replace_those_before_with_their_lists(pipeline, file_format, staged):
    for rows in (FIRST, SECOND):
        pipeline.run(rows, table_name="things", primary_key="id", write_disposition="merge",
                     loader_file_format=file_format)  # fmt: skip
    assert _loaded(pipeline) == LEFT
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema LIKE '%_staging' ORDER BY ALL"
    assert [name for (name,) in _asked(pipeline, tables) if "_dlt" not in name] == staged


@pytest.mark.parametrize(
    ("hints", "kept"),
    [
        ({"dedup_sort": "asc"}, "early"),
        ({"dedup_sort": "desc"}, "late"),
        ({"hard_delete": True}, None),
    ],
)
def test_of_two_rows_with_one_key_the_hints_tell_which_is_kept(pipeline, hints, kept):
    rows = [{"id": 1, "moment": moment, "tags": [moment]} for moment in ("early", "late")]
    pipeline.run(rows * 2, table_name="things", primary_key="id", write_disposition="merge",
                 columns={"moment": hints}, loader_file_format="parquet")  # fmt: skip
    assert _asked(pipeline, "SELECT moment FROM things") == ([(kept,)] if kept else [])
    assert _asked(pipeline, "SELECT value FROM things__tags") == ([(kept,)] if kept else [])


def test_a_file_that_a_source_hands_over_is_merged(pipeline, tmp_path):
    lines = tmp_path / "rows.jsonl"
    lines.write_text("\n".join(json.dumps({**row, "_dlt_load_id": "l", "_dlt_id": row["of"]}) for row in UNTAGGED))
    pipeline.run(_imported(lines, "jsonl"))
    assert _asked(pipeline, 'SELECT id, "of" FROM things ORDER BY ALL') == [(1, "a"), (2, "b")]


def test_a_file_that_no_merge_can_read_is_refused(pipeline, tmp_path):
    """Not taken for loaded."""
    (tmp_path / "rows.sql").write_text("INSERT INTO {}(id)\nVALUES\n(4);")
    with pytest.raises(PipelineStepFailed, match="Loader does not support writer for `file_format=insert_values`"):
        pipeline.run(_imported(tmp_path / "rows.sql", "insert_values"))


def _imported(file: Path, kind: Any) -> Any:
    columns: Any = {"id": {"data_type": "bigint"}, "of": {"data_type": "text"}}
    page = dlt.mark.with_file_import(str(file), kind, 1)
    return dlt.resource(
        [page], name="things", primary_key="id", write_disposition="merge", columns=columns, file_format="parquet"
    )


def _loaded(pipeline: dlt.Pipeline) -> tuple[Any, Any]:
    return (
        _asked(pipeline, 'SELECT id, "of" FROM things ORDER BY ALL'),
        _asked(pipeline, "SELECT value FROM things__tags ORDER BY ALL"),
    )


def _asked(pipeline: dlt.Pipeline, sql: str) -> Any:
    with pipeline.sql_client() as client:
        return client.execute_sql(sql)
