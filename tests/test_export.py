"""Tables as files: every type comes back from every warehouse, partitions, and an export that is whole or not there."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import json
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipelines.export import life
from pipelines.export.partitions import Part, cut
from pipelines.export.place import Exported
from tests import killed, promised, strategies_toy
from tests.killed import WAIT, At
from tests.toys import rows, toy
from tests.workspace import DESTINATIONS, Result, Workspace

MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 678900, dt.UTC)
FULL = {
    "id": 1, "text": "é\n", "double": 0.1, "bool": True, "timestamp": MOMENT, "json": {"a": [1, {"b": None}]},
    "binary": b"\x00\xff", "decimal": Decimal("1.5"), "date": dt.date(2024, 2, 29), "time": dt.time(23, 59, 1),
}  # fmt: skip
EVERY_TYPE = [FULL, dict.fromkeys(FULL) | {"id": 2}, dict.fromkeys(FULL) | {"id": 2**62, "text": ""}]
ARROW = {
    "id": pa.int64(), "text": pa.string(), "double": pa.float64(), "bool": pa.bool_(), "json": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"), "binary": pa.binary(), "decimal": pa.decimal128(38, 9),
    "date": pa.date32(), "time": pa.time64("us"),
}  # fmt: skip
CELLS = {  # how a text holds a value
    "id": int, "text": str, "double": float, "bool": lambda text: text in ("true", "1"), "json": json.loads,
    "timestamp": dt.datetime.fromisoformat, "binary": base64.b64decode, "decimal": Decimal,
    "date": dt.date.fromisoformat, "time": dt.time.fromisoformat,
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Workspace:
    """A spec with three small tables and one with a large one, both loaded; nobody loads more."""
    made = Workspace(tmp_path_factory.mktemp("export") / "a workspace")
    toy(made, rows(3, tags=["a", "b"]))
    toy(made, [{**row, "note": os.urandom(300).hex()} for row in rows(500)], "large")
    assert made.etl("run", "toy", "large", "--env", "test").code == 0
    return made


class Exports:
    """Exports of the toy into one folder."""

    def __init__(self, engine: Workspace, folder: Path) -> None:
        self.engine, self.folder = engine, folder

    def words(self, *words: str) -> tuple[str, ...]:
        return ("export", "toy", "--env", "test", "--to", str(self.folder), *words)

    def __call__(self, *words: str) -> Result:
        return self.engine.etl(*self.words(*words))

    @property
    def files(self) -> dict[str, bytes]:
        """What is there, staging too, save the manifest."""
        files = [file for file in self.folder.rglob("*") if file.is_file() and file.name != "_export.toy.json"]
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in sorted(files)}

    @property
    def manifest(self):
        return json.loads((self.folder / "_export.toy.json").read_text())


@pytest.fixture
def export(loaded, tmp_path) -> Exports:
    return Exports(loaded, tmp_path / "of the toy")


def by_id(given):
    return sorted(({name: row[name] for name in FULL} for row in given), key=lambda row: row["id"])


def from_texts(row, null=None):
    return {name: None if row[name] == null else CELLS[name](row[name]) for name in FULL}


def read_csv(file):
    """By DuckDB, which tells an empty text from none; the form itself is Python's csv."""
    text = file.read_bytes().decode()
    assert len(list(csv.DictReader(text.splitlines(keepends=True)))) == 3
    assert text.count("\r\n") == 4
    relation = duckdb.sql(f"FROM read_csv('{file}', all_varchar = true, nullstr = '', allow_quoted_nulls = false)")
    return [from_texts(dict(zip(relation.columns, row, strict=True))) for row in relation.fetchall()]


def read_jsonl(file):
    for line in map(json.loads, file.read_text().splitlines()):
        plain = {name: str(line[name]) if isinstance(line[name], int) else line[name] for name in line}
        told = plain | {"json": json.dumps(line["json"]) if line["json"] else None}
        yield from_texts(told | {"bool": "true" if line["bool"] else None})


def read_sqlite(file):
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        for row in database.execute("SELECT * FROM every_type"):
            told = {name: str(v) if isinstance(v, int | float) else v for name, v in dict(row).items()}
            if told["binary"]:
                told["binary"] = base64.b64encode(told["binary"]).decode()
            yield from_texts(told)


def read_parquet(file):
    table = pq.read_table(file)
    assert {name: table.schema.field(name).type for name in ARROW} == ARROW
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
    for row in table.to_pylist():
        yield row | {"json": json.loads(row["json"]) if row["json"] else None}


READ = {"parquet": read_parquet, "csv": read_csv, "jsonl": read_jsonl, "sqlite": read_sqlite}


@pytest.mark.parametrize("warehouse", ["duckdb", "postgres", "bigquery"])
def test_every_type_comes_back(workspace, request, warehouse):
    made, env = workspace(), {"duckdb": "test", "postgres": "pg", "bigquery": "bq"}[warehouse]
    if warehouse == "postgres":
        made.postgres(request.getfixturevalue("postgres_url"))
    if warehouse == "bigquery":
        made.bigquery(request.getfixturevalue("project").variables)
    strategies_toy.install(made)
    assert made.etl("run", "strategies", "--env", env, "--select", "every_type,updated").code == 0
    for form, read in READ.items():
        result = made.etl("export", "strategies", "every_type", "--env", env, "--format", form, "--to", form)
        assert (result.code, result.err) == (0, ""), result
        file = made.root / form / f"{'strategies' if form == 'sqlite' else 'every_type'}.{form}"
        assert by_id(read(file)) == EVERY_TYPE
    parted = made.etl("export", "strategies", "updated", "--env", env, "--partition-by", "day")
    assert parted.code == 0, parted
    read = duckdb.sql(f"SELECT id, day FROM '{made.root}/exports/{env}/strategies/updated/*/*.parquet' ORDER BY id")
    assert read.fetchall() == [(n, n % 3) for n in range(1, 9)]


# which tables


@pytest.mark.parametrize(
    ("words", "tables"),
    [
        ([], ["others", "things", "things__tags"]),
        (["things"], ["things"]),
        (["thing*", "others"], ["others", "things", "things__tags"]),
        (["_dlt_loads,others"], ["_dlt_loads", "others"]),
    ],
)
def test_which_tables(export, words, tables):
    result = export(*words, "--format", "jsonl", "--output", "json")
    assert result.code == 0
    told = result.json
    assert (told["spec"], told["to"], told["format"]) == ("toy", str(export.folder), "jsonl")
    for each in told["tables"]:
        content = export.files[f"{each['table']}.jsonl"]
        assert (len(content), content.count(b"\n")) == (each["bytes"], each["rows"])
    assert sorted(each["table"] for each in told["tables"]) == sorted(export.manifest["tables"]) == tables
    assert export.manifest["complete"] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["thing"], "toy: no table 'thing' (did you mean 'things'?); it has: others, things, things__tags"),
        (["things", "x*"], "toy: no table 'x*'; it has: others, things, things__tags"),
        (["--partition-by", "changd"], "--partition-by changd: others has no such column; name a column that all have"),
        (["--partition-by", "changed"], "changed: others has no such column; name those that do: things"),
        (["--partition-by", "changed:hour"], "hour: expected changed:year or changed:month or changed:day"),
        (["things", "--partition-by", "id:day"], "id:day: things has bigint there, which has no days; leave that out"),
        (
            ["things", "--partition-by", "changd"],
            "--partition-by changd: things has no such column (did you mean 'changed'?); name a column that all have",
        ),
        (["things", "--partition-by", "amount"], "--partition-by amount: things has double there; choose another "),
        (
            ["--partition-by", "id", "--format", "sqlite"],
            "--partition-by: sqlite is one file; leave it out, or ",
        ),
        (["--format", "xml"], "--format xml: must be one of parquet, csv, jsonl, sqlite"),
        (
            ["--to", "gs://lake/x"],
            "--to gs://lake/x: no bucket of [test] is gs://; name a folder, or one ",
        ),
        (["--to", ""], "--to: is empty; name a folder or a bucket, or leave it out"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing(export, words, said):
    result = export(*words)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert not export.folder.exists()


@pytest.mark.parametrize("file", ["warehouse.duckdb", "never.duckdb"])
def test_a_spec_that_was_never_loaded(loaded, file):
    loaded.write("specs/never.yaml", "name: never\nabout: x\npython: {}\n")
    loaded.write("sources/never.py", (loaded.root / "sources/toy.py").read_text().replace("toy", "never"))
    destinations = loaded.root / "destinations.toml"
    destinations.write_text(f"{DESTINATIONS}[n.warehouse]\ndestination_type = 'duckdb'\ncredentials = '{file}'\n")
    result = loaded.etl("export", "never", "--env", "n")
    assert (result.code, result.out) == (2, "")
    assert result.err == "never: nothing is loaded in 'n'; run: etl run never --env n\n"


MODEL = """\
SELECT
    id, kind, amount, changed, of,
    count(*) OVER () AS n,
    sum(id) OVER () AS ids,
    CAST(amount AS DECIMAL(10, 2)) AS money,
    CAST(changed AS DATE) AS day,
    id > 3 AS late
FROM things
"""
OF_MODEL = {
    "id": pa.int64(), "kind": pa.string(), "amount": pa.float64(), "changed": pa.timestamp("us", "UTC"),
    "of": pa.int64(), "n": pa.int64(), "ids": pa.decimal128(38, 0), "money": pa.decimal128(10, 2),
    "day": pa.date32(), "late": pa.bool_(),
}  # fmt: skip


@pytest.mark.parametrize("warehouse", ["duckdb", "postgres", "bigquery"])
def test_models_are_exported_too(workspace, request, warehouse):
    """A table and a view, typed as the warehouse says, the same rows from each."""
    made, env = promised.install(workspace(), models="{models: {mine: {about: x, materialized: view}}}"), "test"
    made.write("models/toy/mine.sql", MODEL)
    if warehouse == "postgres":
        made.postgres(request.getfixturevalue("postgres_url"))
        env = "pg"
    if warehouse == "bigquery":
        made.bigquery(request.getfixturevalue("project").variables)
        env = "bq"
    assert made.etl("run", "toy", "--env", env).code == 0
    told = made.etl("export", "toy", "--env", env, "--output", "json")
    assert told.code == 0, told
    rows = {each["table"]: each["rows"] for each in told.json["tables"]}
    assert rows == {"by_kind": 4, "mine": 6, "others": 1, "tagged": 15, "things": 6, "things__tags": 15}
    table = pq.read_table(made.root / f"exports/{env}/toy/mine.parquet")
    types = {field.name: field.type for field in table.schema}
    if warehouse == "bigquery":
        types |= {"ids": OF_MODEL["ids"], "money": OF_MODEL["money"]}  # an INT64 there, and a NUMERIC of any digits
    assert types == OF_MODEL
    last = max(table.to_pylist(), key=lambda row: row["id"])
    assert last | {"ids": int(last["ids"])} == {
        "id": 6, "kind": "c", "amount": 6.25, "changed": dt.datetime(2024, 1, 6, 23, 30, tzinfo=dt.UTC), "of": None,
        "n": 6, "ids": 21, "money": Decimal("6.25"), "day": dt.date(2024, 1, 6), "late": True,
    }  # fmt: skip


def test_a_model_is_named_and_partitioned_as_a_table_and_may_hold_anything(workspace):
    made = promised.install(workspace(), models="{}")
    made.write("models/toy/odd.sql", "SELECT id, [id, 2] AS list, {'a': kind} AS struct, uuid() AS u FROM things")
    assert made.etl("export", "toy", "odd", "--env", "test").code == 2, "nothing is loaded"
    assert made.etl("run", "toy", "--env", "test").code == 0
    assert made.etl("export", "toy", "odd", "--env", "test", "--partition-by", "id", "--format", "jsonl").code == 0
    line = json.loads((made.root / "exports/test/toy/odd/id=6/part-0.jsonl").read_text())
    assert (line["list"], line["struct"], len(line["u"])) == ([6, 2], {"a": "c"}, 36)


# partitions


def test_partitions_hold_any_value(workspace):
    made, kinds = workspace(), ["", None, "a/b=c %", "é", "..", "__x__", "a/b=c %"]
    given = [{"id": n, "changed": f"2024-01-0{n + 2}", "kind": kind} for n, kind in enumerate(kinds)]
    toy(made, given, columns={"id": {"data_type": "bigint"}, "changed": {"data_type": "date"}, "kind": {}})
    assert made.etl("run", "toy", "--env", "test").code == 0
    assert made.etl("export", "toy", "things", "--env", "test", "--partition-by", "kind,changed").code == 0
    folder = made.root / "exports/test/toy/things"
    assert {path.name for path in folder.iterdir()} == {
        "kind=", "kind=__HIVE_DEFAULT_PARTITION__", "kind=a%2Fb%3Dc%20%25", "kind=%C3%A9", "kind=..", "kind=__x__",
    }  # fmt: skip
    read = f"FROM read_parquet('{folder}/*/*/*.parquet', hive_partitioning = true)"
    told = duckdb.sql(f"SELECT id, kind, changed {read} ORDER BY id").fetchall()
    assert told == [(n, kind, dt.date(2024, 1, n + 2)) for n, kind in enumerate(kinds)]


def test_a_partition_that_comes_twice_has_two_files():
    """As in a warehouse that sorts texts by another order than it tells them apart."""
    batch = pa.RecordBatch.from_pydict({"kind": ["a", "b", "b", "a"], "id": [1, 2, 3, 4]})
    pieces = [(folder, new, rows.to_pydict()) for folder, new, rows in cut([batch, batch[3:]], "t", [Part("kind")])]
    assert pieces == [
        ("t/kind=a", True, {"id": [1]}), ("t/kind=b", True, {"id": [2, 3]}), ("t/kind=a", True, {"id": [4]}),
        ("t/kind=a", False, {"id": [4]}),
    ]  # fmt: skip
    done = Exported("t")
    assert [done.next_file(folder, "csv") for folder, new, _ in pieces if new] == [
        "t/kind=a/part-0.csv", "t/kind=b/part-0.csv", "t/kind=a/part-1.csv",
    ]  # fmt: skip


def test_a_new_export_replaces_the_former_one_of_its_tables(export):
    assert export("others", "things", "--format", "csv").code == 0
    assert export("things", "--partition-by", "changed").code == 0
    assert list(export.files) == [
        "others.csv", *(f"things/changed=2024-01-01T00%3A0{n}%3A00Z/part-0.parquet" for n in (1, 2, 3)),
    ]  # fmt: skip
    (export.folder / "things/changed=2024-01-01T00%3A01%3A00Z/notes.txt").write_text("mine")
    assert export("things", "--partition-by", "id").code == 0
    assert {path.name for path in (export.folder / "things").iterdir()} == {
        "changed=2024-01-01T00%3A01%3A00Z", "id=1", "id=2", "id=3",
    }  # fmt: skip
    assert [file for file in export.files if "id=" not in file] == [
        "others.csv", "things/changed=2024-01-01T00%3A01%3A00Z/notes.txt",
    ]  # fmt: skip


TIMED = {"id": {"data_type": "bigint"}, "at": {"data_type": "timestamp"}, "kind": {"data_type": "text"}}


@pytest.mark.parametrize("warehouse", ["duckdb", "postgres", "bigquery"])
def test_times_are_partitioned_by_month(workspace, request, warehouse):
    """In UTC, each month once beside another partition, and the column stays in the files."""
    made, env = workspace(), "test"
    moments = ["2024-01-31T23:30:00Z", "2024-02-01T00:30:00Z", "2024-01-01T00:00:00Z", "2024-02-29T23:59:59Z"]
    given = [{"id": n, "at": moment, "changed": "2024-05-01", "kind": "ab"[n % 2]} for n, moment in enumerate(moments)]
    toy(made, [*given, {"id": 9, "at": None, "changed": "2024-05-01", "kind": "a"}], columns=TIMED)
    if warehouse == "postgres":
        made.postgres(request.getfixturevalue("postgres_url"))
        env = "pg"
    if warehouse == "bigquery":
        made.bigquery(request.getfixturevalue("project").variables)
        env = "bq"
    assert made.etl("run", "toy", "--env", env).code == 0
    result = made.etl("export", "toy", "things", "--env", env, "--partition-by", "at:month,kind")
    assert result.code == 0, result
    folder = made.root / f"exports/{env}/toy/things"
    tables = {str(file.parent.relative_to(folder)): pq.ParquetFile(file).read() for file in folder.rglob("*.parquet")}
    assert {name: sorted(table["id"].to_pylist()) for name, table in tables.items()} == {
        "at_month=2024-01/kind=a": [0, 2], "at_month=2024-02/kind=b": [1, 3],
        "at_month=__HIVE_DEFAULT_PARTITION__/kind=a": [9],
    }  # fmt: skip
    assert all("at" in table.column_names for table in tables.values())


def test_thousands_of_folders_and_names_too_long_are_refused(export, workspace, monkeypatch):
    monkeypatch.setattr("pipelines.export.export.MOST", 2)
    result = export("things", "--partition-by", "changed")
    assert (result.code, result.err) == (
        2,
        "--partition-by changed: cuts things into more than 2 folders; write changed:month or changed:day\n",
    )
    assert "folders; choose another column" in export("things", "--partition-by", "id").err
    made = workspace()
    toy(made, [{"id": 1, "changed": "2024-01-02", "kind": "é" * 50}])
    assert made.etl("run", "toy", "--env", "test").code == 0
    long = made.etl("export", "toy", "things", "--env", "test", "--partition-by", "kind")
    assert (long.code, long.err) == (
        2,
        "--partition-by kind: a value makes the name of a folder 305 bytes long, which takes 255; choose another "
        "column\n",
    )
    assert not list((made.root / "exports/test/toy").iterdir())


def test_a_staging_folder_is_dead_without_a_sign_of_life(tmp_path, monkeypatch):
    """On this machine at once, in a bucket two minutes after the last beat."""
    memory: Any = fsspec.filesystem("memory")
    monkeypatch.setattr(life, "BEAT_SECONDS", 0.01)
    for filesystem, home in ((LocalFileSystem(auto_mkdir=True), str(tmp_path)), (memory, "/lake")):
        with life.shown(filesystem, f"{home}/staging"):
            assert life.is_alive(filesystem, f"{home}/staging")
        assert not life.is_alive(filesystem, f"{home}/none")
    assert not life.is_alive(LocalFileSystem(), f"{tmp_path}/staging")
    assert life.is_alive(memory, "/lake/staging"), "nobody knows so soon"
    memory.pipe_file("/lake/staging/alive", b"2024-01-01T00:00:00+00:00")
    assert not life.is_alive(memory, "/lake/staging")


# whole or not there

PLACE = "pipelines.export.place:Place"
UNTOUCHED = [At(f"{PLACE}.begin", "after"), At(f"{PLACE}.staged", nth=2), At(f"{PLACE}.put")]
BETWEEN = [At(f"{PLACE}._write_manifest", "after"), At(f"{PLACE}._move", "after", 3), At(f"{PLACE}._remove")]


@pytest.mark.parametrize("moment", [*UNTOUCHED, *BETWEEN], ids=str)
def test_killed_at_any_moment_each_file_is_whole_and_the_next_export_mends(export, moment):
    assert export("things", "--format", "jsonl", "--partition-by", "id").code == 0
    former, told = export.files, export.manifest
    words = export.words("things", "others", "--format", "csv", "--partition-by", "id")
    killed.killed(export.engine, moment, *words)
    there = {file: content for file, content in export.files.items() if not file.startswith(".")}
    if moment in UNTOUCHED:
        assert (there, export.manifest) == (former, told)
    assert export.engine.etl(*words).code == 0
    assert list(export.files) == ["others/id=1/part-0.csv", *(f"things/id={n}/part-0.csv" for n in (1, 2, 3))]
    if moment in BETWEEN:
        whole = former | export.files
        assert there == {file: whole[file] for file in there}
    assert export.manifest["complete"] is True


@contextmanager
def small_disk() -> Iterator[None]:
    """No file may be larger than 60 kB."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


FULL_DISK = "large: the disk is full; free space and run again, nothing that was loaded is lost\n"
OF_SQLITE = "large: OperationalError: disk I/O error; run again with --debug to see where\n"  # but see test_errors


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl", "sqlite"])
def test_a_full_disk_leaves_the_former_export_and_one_line(export, form):
    words = ["export", "large", "--env", "test", "--to", str(export.folder), "--format", form]
    assert export.engine.etl(*words, "others").code == 0
    before = export.files
    with small_disk():
        result = export.engine.etl(*words)
    assert (result.code, result.out, result.err) == (1, "", OF_SQLITE if form == "sqlite" else FULL_DISK)
    assert export.files == before


def test_a_table_that_was_being_put_there_is_not_complete_until_it_is_exported_again(export):
    assert export("things", "--format", "csv", "--partition-by", "id").code == 0
    words = export.words("things", "--format", "jsonl", "--partition-by", "changed")
    killed.killed(export.engine, At(f"{PLACE}._move", "after", 2), *words)
    assert export("others").code == 0
    assert export.manifest["complete"] is False
    assert export.engine.etl(*words).code == 0
    assert export.manifest["complete"] is True
    assert sum(len(table["files"]) for table in export.manifest["tables"].values()) == len(export.files) == 4


def test_a_signal_leaves_the_former_export(export):
    assert export("things").code == 0
    before = export.files
    moment = At(f"{PLACE}.put")
    ended = killed.start(export.engine, *export.words("--format", "csv"), moment=moment, act=signal.SIGTERM).ended()
    assert ended.code == 143
    assert export.files == before


def test_two_at_once(export):
    words = export.words("things", "--format", "csv")
    first = killed.start(export.engine, *words, moment=At(f"{PLACE}.put"), act=WAIT).until_waiting()
    second = export.engine.etl(*words)
    said = f"{export.folder}: another export is at work there; let it end, or give another --to\n"
    assert (second.code, second.err) == (7, said)
    assert first.go_on().ended().code == 0
    assert list(export.files) == ["things.csv"]


@pytest.mark.parametrize("taken", ["things/x.txt", "things.parquet/part-0.parquet", "things"])
def test_nothing_of_another_is_in_the_way(export, taken):
    (export.folder / taken).parent.mkdir(parents=True)
    (export.folder / taken).write_text("mine")
    by = [] if taken.startswith("things.") else ["--partition-by", "id"]
    result = export("things", *by)
    at = "things.parquet" if not by else "things"
    assert result.code == (0 if taken.endswith(".txt") else 1)
    assert result.code == 0 or result.err.startswith(f"{export.folder}/{at}: is not of an export of toy; ")
    assert export.files[taken] == b"mine"
    assert result.code == 0 or list(export.files) == [taken]


def test_an_empty_folder_of_another_is_in_the_way(export):
    (export.folder / "things.csv").mkdir(parents=True)
    result = export("things", "--format", "csv")
    assert (result.code, export.files) == (1, {})
    assert result.err.startswith(f"{export.folder}/things.csv: is not of an export of toy; ")


def test_a_place_has_tables_of_one_environment(export):
    assert export("others").code == 0
    before = export.files
    destinations = export.engine.root / "destinations.toml"
    destinations.write_text(DESTINATIONS + DESTINATIONS.replace("test", "twin"))
    result = export.engine.etl("export", "toy", "--env", "twin", "--to", str(export.folder))
    assert result.code == 1
    assert result.err == f"{export.folder}: has an export of toy from 'test'; give another --to\n"
    assert export.files == before


MANIFEST = {"schema": "etl.export.v1", "environment": "test", "tables": {"things": {"files": ["things.csv"]}}}


@pytest.mark.parametrize(
    "told",
    [
        [],
        MANIFEST | {"schema": "x"},
        MANIFEST | {"tables": []},
        MANIFEST | {"tables": {"things": 3}},
        MANIFEST | {"tables": {"things": {"files": [3]}}},
        MANIFEST | {"tables": {"things": {"files": ["../victim"]}}},
        MANIFEST | {"tables": {"things": {"files": ["/victim"]}}},
    ],
)
def test_a_manifest_names_nothing_outside_its_place(export, told):
    export.folder.mkdir()
    victim = export.folder.with_name("victim")
    victim.write_text("mine")
    manifest = export.folder / "_export.toy.json"
    manifest.write_text(json.dumps(told))
    result = export("things", "--format", "jsonl")
    said = f"{manifest}: is no manifest of an export; move it away and export again\n"
    assert (result.code, result.err, victim.read_text()) == (1, said, "mine")


def test_a_column_that_is_named_twice_is_named(export):
    assert export("things", "--partition-by", "id,id").code == 0
    assert sorted(export.files) == [f"things/id={n}/part-0.parquet" for n in (1, 2, 3)]


ARROW_SOURCE = """\
import dlt
import pyarrow as pa


@dlt.source(name="odd", section="odd")
def odd():
    return docs


@dlt.resource(primary_key="id", write_disposition="merge", columns={"doc": {"data_type": "json"}})
def docs():
    yield pa.table({"id": [1, 2], "doc": ['{"a":\\r\\n "x\\\\ny"}', "[1,\\n2]"]})
"""


def test_json_of_several_lines_is_one_line_of_jsonl(workspace):
    made = workspace()
    made.write("specs/odd.yaml", "name: odd\nabout: JSON as it was written.\npython: {}\n")
    made.write("sources/odd.py", ARROW_SOURCE)
    assert made.etl("run", "odd", "--env", "test").code == 0
    assert made.etl("export", "odd", "docs", "--env", "test", "--format", "jsonl").code == 0
    lines = (made.root / "exports/test/odd/docs.jsonl").read_text().splitlines()
    assert [json.loads(line)["doc"] for line in lines] == [{"a": "x\ny"}, [1, 2]]


def test_a_folder_may_be_named_as_a_uri(export):
    to = export.folder.with_name("ü %20").as_uri()
    assert export.engine.etl("export", "toy", "others", "--env", "test", "--to", to).code == 0
    assert (export.folder.with_name("ü %20") / "others.parquet").is_file()


def test_no_file_of_another_is_overwritten(export):
    export.folder.mkdir()
    mine = export.folder / "things.csv"
    mine.write_text("mine")
    result = export("--format", "csv")
    assert (result.code, result.err) == (1, f"{mine}: is not of an export of toy; move it, or give another --to\n")
    assert export.files == {"things.csv": b"mine"}
    mine.unlink()
    manifest = export.folder / "_export.toy.json"
    manifest.write_text("{")
    broken = export("--format", "csv")
    said = f"{manifest}: is no manifest of an export; move it away and export again\n"
    assert (broken.code, broken.err) == (1, said)


def test_where_no_folder_can_be_made_is_told(export):
    result = export("--to", "/proc/x")
    assert (result.code, result.err) == (1, "/proc/x: no folder can be made there; give another --to\n")


def test_a_sqlite_file_has_indexes_and_what_was_named_last(export):
    done = export("--format", "sqlite")
    size = (export.folder / "toy.sqlite").stat().st_size
    assert (done.code, done.out.endswith(f" in one file of {size:,} bytes\n")) == (0, True), done.out
    assert f"{size:,}" not in done.out.rpartition("toy: ")[0], "of one table"
    with closing(sqlite3.connect(export.folder / "toy.sqlite")) as database:
        listed = dict(database.execute("SELECT name, sql FROM sqlite_master"))
        assert database.execute("SELECT sum(amount), typeof(amount) FROM things").fetchone() == (7.5, "real")
        assert database.execute("SELECT count(*) FROM things__tags").fetchone() == (6,)
    assert listed["things_by_primary_key"].endswith('ON "things" ("id")')
    assert listed["things__tags_by_parent_key"].endswith('ON "things__tags" ("_dlt_parent_id")')
    assert '"changed" TEXT, "amount" REAL' in listed["things"]
    assert export("others", "--format", "sqlite").code == 0
    assert list(export.manifest["tables"]) == ["others"]
