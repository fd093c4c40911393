"""What people who tried the program stumbled over, each as they met it."""

from __future__ import annotations

import itertools
import json
import shlex

import duckdb
import pytest

from tests import killed
from tests.toys import rows, toy

NO_KEY = """\
name: zoo
about: A REST spec that forgot its key.
rest:
  client: {base_url: "http://127.0.0.1:1/"}
  resource_defaults: {write_disposition: merge}
  resources: [animals]
"""
KEYS = """\
import dlt


@dlt.source(name="keyed", section="keyed")
def keyed(ids: list = dlt.config.value):
    yield dlt.resource([{"id": i, "n": 1} for i in ids], name="things", primary_key="id", write_disposition="merge")
"""


def keyed(workspace):
    made = workspace()
    made.write("specs/keyed.yaml", "name: keyed\nabout: A key without a declared type.\npython: {ids: [0]}\n")
    made.write("sources/keyed.py", KEYS)
    return made


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_run_refuses_what_validate_refuses(workspace, command):
    made = workspace()
    made.write("specs/zoo.yaml", NO_KEY)
    result = made.etl(command, "zoo", "--env", "test")
    assert (result.code, "merge needs a key" in result.err) == (2, True)
    assert result.err.startswith("specs/zoo.yaml:")


def test_a_report_counts_the_rows_of_the_table(workspace, postgres_url, sandbox):
    made = workspace("chess")
    made.postgres(postgres_url)
    made.point_at(sandbox.settings("chess"))
    for env in ("test", "pg"):
        tables = made.etl("run", "chess", "--env", env, "--output", "json").json[0]["tables"]
        assert tables["games"] < 40, "shared games are one row, whatever was written for them"
        if env == "test":
            known = {t: made.query(f"SELECT count(*) FROM chess.{t}")[0][0] for t in tables}
        assert tables == known


def test_nested_rows_are_counted_too(workspace):
    made = workspace()
    toy(made, [{**row, "tags": [{"t": 1}, {"t": 2}]} for row in rows(3)])
    tables = made.etl("run", "toy", "--env", "test", "--select", "things", "--output", "json").json[0]["tables"]
    assert tables == {"things": 3, "things__tags": 6}


@pytest.mark.parametrize("ids", ['[0, 1, "abc", 2]', "[0, 1, 2.5, 2]"])
def test_an_odd_value_in_a_key_goes_to_quarantine(workspace, ids):
    made = keyed(workspace)
    assert made.etl("run", "keyed", "--env", "test", "--with", f"ids={ids}").code == 3
    assert made.query("SELECT id FROM keyed.things ORDER BY id") == [(0,), (1,), (2,)]


def test_a_key_keeps_the_type_it_was_loaded_with(workspace):
    made = keyed(workspace)
    assert made.etl("run", "keyed", "--env", "test", "--with", "ids=[0, 1]").code == 0
    assert made.etl("run", "keyed", "--env", "test", "--with", 'ids=["abc"]').code == 3
    assert made.etl("run", "keyed", "--env", "test", "--with", "ids=[5]").code == 0
    assert made.query("SELECT id FROM keyed.things ORDER BY id") == [(0,), (1,), (5,)]


def test_a_failed_run_claims_no_quarantine_it_did_not_write(workspace):
    made = workspace()
    toy(made, [{"id": None}, *rows(3)])
    source = (made.root / "sources/toy.py").read_text()
    made.write("sources/toy.py", source.replace('"of": "others"', '"of": 1 / 0'))
    result = made.etl("run", "toy", "--env", "test")
    assert (result.code, "quarantine" in result.out) == (1, False)
    made.write("sources/toy.py", source)
    assert killed.run(made, "run", "toy", "--env", "test").code == 3
    assert made.query("SELECT count(*) FROM _etl.quarantine") == [(1,)]


def test_a_new_declared_type_is_refused_before_it_jams(workspace):
    made = workspace()
    toy(made, rows(2))
    made.etl("run", "toy", "--env", "test")
    toy(made, rows(3), columns={"id": {"data_type": "text", "nullable": False}})
    refused = killed.run(made, "run", "toy", "--env", "test")
    assert refused.code == 2
    assert "things.id is bigint in the warehouse and declared as text" in refused.err
    assert killed.run(made, "run", "toy", "--env", "test", "--full-refresh").code == 0
    assert made.query("SELECT id FROM toy.things ORDER BY id") == [("1",), ("2",), ("3",)]


def test_the_retry_command_is_the_command(workspace):
    made = workspace()
    toy(made, rows(2))
    words = ["--select", "things", "--since", "2024-01-01", "--with", "page_rows=3", "--max-retry", "1"]
    (made.root / "toy.json").write_text("[{")
    made.etl("run", "toy", "--env", "test", "--run-id", "r", *words)
    retry = shlex.split(json.loads((made.root / "runs/r/error.json").read_text())["retry_command"])
    assert retry[:5] == ["etl", "run", "toy", "--env", "test"]
    assert {tuple(words[i : i + 2]) for i in range(0, len(words), 2)} <= set(itertools.pairwise(retry))


def test_a_bucket_in_a_path_with_a_space_is_that_folder(workspace):
    made = workspace()
    assert " " in str(made.root)
    made.etl("doctor", "--env", "test")
    assert (made.root / "landing").is_dir()
    assert not list(made.root.parent.rglob("*%20*"))


def test_a_plan_that_cannot_look_does_not_guess_the_cursor(workspace):
    made = workspace()
    toy(made, rows(2))
    made.write("warehouse.duckdb", "no database")
    result = made.etl("plan", "toy", "--env", "test")
    assert "cursor: unknown" in result.out
    assert "from the beginning" not in result.out


def test_a_list_given_as_text_says_how_to_write_it(workspace):
    made = keyed(workspace)
    result = made.etl("run", "keyed", "--env", "test", SOURCES__KEYED__IDS="zero")
    assert (result.code, 'write it as JSON, e.g. ["a", "b"]' in result.err) == (2, True)


def test_a_run_whose_row_stayed_open_is_told_as_its_folder_tells_it(workspace):
    made = workspace()
    toy(made, rows(2))
    made.etl("run", "toy", "--env", "test", "--run-id", "cut")
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as warehouse:
        warehouse.execute("UPDATE _etl.runs SET status = 'running', exit_code = NULL")
    manifest = made.root / "runs/cut/manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "status": "try_later", "exit_code": 5}))
    made.etl("run", "toy", "--env", "test", "--run-id", "next")
    assert made.query("SELECT status, exit_code FROM _etl.runs WHERE run_id = 'cut'") == [("try_later", 5)]


def test_an_unknown_name_in_quarantine_list_is_a_mistake(workspace):
    made = workspace()
    toy(made, rows(2))
    assert made.etl("quarantine", "list", "tyo", "--env", "test").code == 2
    assert made.etl("quarantine", "list", "toy", "--env", "test").code == 0


@pytest.mark.parametrize("stub", [b"", b"\0" * 8 + b"DUCK" + b"\0" * 4000], ids=["empty", "header"])
def test_what_a_full_disk_left_of_a_new_file_is_no_hindrance(workspace, stub):
    made = workspace()
    toy(made, rows(2))
    (made.root / "warehouse.duckdb").write_bytes(stub)
    assert made.etl("run", "toy", "--env", "test").code == 0


def test_lists_in_lists_without_end_are_loaded(workspace):
    made = workspace()
    deep: object = 1
    for _ in range(60):
        deep = [deep]
    toy(made, [{**row, "deep_list": deep} for row in rows(2)])
    assert made.etl("run", "toy", "--env", "test", "--select", "things").code == 0
    [(deepest,)] = made.query("SELECT max_by(table_name, length(table_name)) FROM duckdb_tables()")
    kept = made.query(f'SELECT "list"::VARCHAR FROM toy.{deepest}')
    assert [text.strip("[]") for (text,) in kept] == ["1", "1"]  # what lies below the last table stays whole
