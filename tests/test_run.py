"""Runs: what is loaded, remembered, refused and told."""

from __future__ import annotations

import json

import pytest
from filelock import FileLock

from tests import killed
from tests.toys import rows, toy


@pytest.fixture
def engine(workspace):
    """A workspace with a toy of ten rows."""
    made = workspace()
    toy(made, rows(10))
    return made


def ids(workspace, table: str = "toy.things") -> list[int]:
    return [row[0] for row in workspace.query(f"SELECT id FROM {table} ORDER BY id")]


def test_a_run_loads_and_tells(engine):
    result = engine.etl("run", "toy", "--env", "test")
    assert result.code == 0, result.err
    assert ids(engine) == list(range(1, 11))
    assert "toy.things         10 rows" in result.out
    assert "toy: ok, 11 rows into toy" in result.out
    assert result.err == ""


def test_a_second_run_finds_nothing_new(engine):
    engine.etl("run", "toy", "--env", "test", "--select", "things")
    result = engine.etl("run", "toy", "--env", "test", "--select", "things", "--output", "json")
    assert (result.code, result.json[0]["tables"]) == (0, {})
    assert ids(engine) == list(range(1, 11))


@pytest.mark.parametrize(
    "first", [["--limit", "2"], ["--limit", "2", "--select", "things"], ["--limit", "1", "--select", "th*"]]
)
def test_a_limit_freezes_the_cursor(engine, first):
    limit = int(first[1])
    assert engine.etl("run", "toy", "--env", "test", *first).code == 0
    assert len(ids(engine)) == limit
    assert engine.etl("run", "toy", "--env", "test").code == 0
    assert ids(engine) == list(range(1, 11))


@pytest.mark.parametrize("part", [["--limit", "2"], ["--mode", "backfill"]])
def test_what_only_a_part_has_loaded_keeps_its_types(engine, part):
    """The state of such a run is thrown away; the schema of its tables is not, or the next load would jam."""
    toy(engine, rows(4, size=7))
    assert engine.etl("run", "toy", "--env", "test", *part).code == 0
    assert "things: merge by id\n    cursor: from the beginning\n    table: no change" in engine.etl(
        "plan", "toy", "--env", "test"
    ).out.replace("toy → ", "").replace("things → things", "things")
    toy(engine, rows(10, size="about 7"))
    result = engine.etl("run", "toy", "--env", "test")
    assert result.code == 0, result.err
    assert ids(engine) == list(range(1, 11))
    assert engine.query("SELECT count(*) FROM toy.things WHERE size__v_text = 'about 7'") == [(10,)]


def test_a_limit_after_a_run_starts_at_the_cursor(engine):
    engine.etl("run", "toy", "--env", "test")
    toy(engine, rows(20))
    result = engine.etl("run", "toy", "--env", "test", "--limit", "3", "--select", "things", "--output", "json")
    assert result.json[0]["tables"] == {"things": 3}
    assert len(ids(engine)) == 13
    engine.etl("run", "toy", "--env", "test")
    assert ids(engine) == list(range(1, 21))


def test_a_window_is_half_open_and_freezes_the_cursor(engine):
    window = ["--since", "2024-01-01T00:03", "--until", "2024-01-01T00:06"]
    assert engine.etl("run", "toy", "--env", "test", "--select", "things", *window).code == 0
    assert ids(engine) == [3, 4, 5]
    engine.etl("run", "toy", "--env", "test")
    assert ids(engine) == list(range(1, 11))


def test_backfill_reads_everything_again(engine):
    engine.etl("run", "toy", "--env", "test")
    result = engine.etl("run", "toy", "--env", "test", "--mode", "backfill", "--select", "things", "--output", "json")
    assert result.json[0]["tables"] == {"things": 10}
    assert ids(engine) == list(range(1, 11))


def test_full_refresh_replaces_the_tables(engine):
    engine.etl("run", "toy", "--env", "test")
    toy(engine, rows(4))
    assert engine.etl("run", "toy", "--env", "test", "--full-refresh").code == 0
    assert ids(engine) == [1, 2, 3, 4]


def test_bad_rows_go_to_quarantine_and_the_run_is_partial(engine):
    bad = [
        {"id": None, "changed": "2024-01-02T00:00:00Z"},
        {"id": 11, "changed": "yesterday"},
        {"id": 12, "amount": "much"},
    ]
    toy(engine, [*rows(10), *bad])
    result = engine.etl("run", "toy", "--env", "test")
    assert result.code == 3
    assert ids(engine) == list(range(1, 11))
    assert "toy.things: 3 rows in quarantine" in result.out
    listed = engine.etl("quarantine", "list", "toy", "--env", "test", "--output", "json").json
    assert [row["reason"] for row in sorted(listed, key=lambda r: r["reason"])] == [
        "amount: 'much' is not a double",
        "changed: 'yesterday' is not a timestamp",
        "id: is missing or null, and must not be",
    ]


def test_a_bad_row_is_written_once_however_often_it_is_read(engine):
    toy(engine, [{"id": None}, *rows(2)])
    for _ in range(3):
        engine.etl("run", "toy", "--env", "test", "--mode", "backfill")
    assert engine.query("SELECT count(*) FROM _etl.quarantine") == [(1,)]


def test_quarantine_is_shown_replayed_and_dropped(engine):
    toy(engine, [{"id": 7, "amount": "1.5 EUR"}, {"id": None}])
    engine.etl("run", "toy", "--env", "test", "--select", "things")
    listed = engine.etl("quarantine", "list", "--env", "test", "--output", "json").json
    shown = engine.etl("quarantine", "show", listed[0]["id"][:10], "--env", "test")
    assert shown.json["payload"] == {"id": 7, "amount": "1.5 EUR"} or shown.json["payload"] == {"id": None}
    toy(engine, [], columns={"id": {"data_type": "bigint", "nullable": False}, "amount": {"data_type": "text"}})
    replayed = killed.run(engine, "quarantine", "replay", "toy", "--env", "test")  # the source has changed
    assert (replayed.code, replayed.out) == (3, "toy: 1 row loaded, 1 still in quarantine\n")
    assert ids(engine) == [7]
    assert engine.etl("quarantine", "drop", "toy", "--env", "test").code == 2
    assert engine.etl("quarantine", "drop", "toy", "--env", "test", "--yes").code == 0
    assert "0 rows in quarantine" in engine.etl("quarantine", "list", "--env", "test").out


def test_the_status_says_how_tables_were_read_and_what_a_fetch_has_read(engine):
    for words in (("run",), ("run", "--full-refresh"), ("fetch",)):
        assert engine.etl(words[0], "toy", "--env", "test", *words[1:]).code == 0
    told = engine.etl("status", "--env", "test", "--output", "json").json
    assert [(run["mode"], run["rows_loaded"]) for run in told] == [("fetch", 1), ("full-refresh", 11), ("incr", 11)]


def test_a_run_leaves_its_folder_and_its_row(engine):
    engine.etl("run", "toy", "--env", "test", "--run-id", "first")
    folder = engine.root / "runs" / "first"
    assert sorted(p.name for p in folder.iterdir()) == ["manifest.json", "metrics.json", "progress.json", "success.ok"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["status"], manifest["counts"]["rows_loaded"], manifest["exit_code"]) == ("ok", 11, 0)
    assert engine.query("SELECT run_id, spec, status, rows_loaded FROM _etl.runs") == [("first", "toy", "ok", 11)]
    assert engine.etl("run", "toy", "--env", "test", "--run-id", "first").code == 2


def test_a_run_that_could_not_write_its_row_gets_it_from_the_next_one(engine):
    toy(engine, rows(1), name="other")
    with FileLock(engine.root / "warehouse.duckdb.lock"):
        refused = [engine.etl("run", name, "--env", "test", "--run-id", f"late-{name}") for name in ("toy", "other")]
    assert [each.code for each in refused] == [7, 7]
    again = [engine.etl("run", "toy", "--env", "test").code for _ in range(2)]
    assert again == [0, 0]
    late = "SELECT run_id, spec, exit_code, message LIKE '%held by%' FROM _etl.runs WHERE status = 'locked' ORDER BY 1"
    assert engine.query(late) == [("late-other", "other", 7, True), ("late-toy", "toy", 7, True)]
    assert not list(engine.root.glob("runs/*/unrecorded"))


def test_a_failed_run_says_why_and_the_next_one_completes(engine):
    (engine.root / "toy.json").write_text("[{")
    result = engine.etl("run", "toy", "--env", "test", "--run-id", "broken")
    assert result.code == 1
    assert len(result.err.splitlines()) == 1
    error = json.loads((engine.root / "runs/broken/error.json").read_text())
    assert error["retry_command"] == "etl run toy --env test"
    toy(engine, rows(3))
    assert engine.etl("run", "toy", "--env", "test").code == 0
    assert ids(engine) == [1, 2, 3]


def test_one_spec_that_fails_does_not_stop_the_others(engine):
    toy(engine, rows(2), name="second")
    (engine.root / "toy.json").write_text("[{")
    result = engine.etl("run", "--all", "--env", "test")
    assert result.code == 1
    assert len(ids(engine, "second.things")) == 2


def test_fail_fast_stops_at_the_first(engine):
    toy(engine, rows(2), name="zebra")
    (engine.root / "toy.json").write_text("[{")
    result = engine.etl("run", "toy", "zebra", "--env", "test", "--fail-fast", "--output", "json")
    assert [report["spec"] for report in result.json] == ["toy"]


def test_status_and_state(engine):
    engine.etl("run", "toy", "--env", "test")
    status = engine.etl("status", "toy", "--env", "test", "--output", "json").json
    assert [run["status"] for run in status] == ["ok"]
    state = engine.etl("state", "show", "toy", "--env", "test").json
    assert state["state"]["resources"]["things"]["incremental"]["changed"]["last_value"] == "2024-01-01T00:10:00Z"
    assert engine.etl("state", "reset", "toy", "--env", "test", "--resource", "things").code == 0
    assert "things" not in engine.etl("state", "show", "toy", "--env", "test").json["state"].get("resources", {})
    again = engine.etl("run", "toy", "--env", "test", "--select", "things", "--output", "json").json
    assert again[0]["tables"] == {"things": 10}
    assert ids(engine) == list(range(1, 11))


def test_a_plan_writes_nothing(engine):
    before = sorted(engine.root.rglob("*"))
    outputs = [
        engine.etl(*command, "--env", "test")
        for command in (["plan", "toy"], ["run", "toy", "--dry-run"], ["run", "toy", "--mode", "dry"])
    ]
    assert [result.code for result in outputs] == [0, 0, 0], outputs
    assert len({result.out for result in outputs}) == 1
    assert "things → things: merge by id" in outputs[0].out
    after = [path for path in sorted(engine.root.rglob("*")) if "__pycache__" not in path.parts]
    assert after == before


FEW = """
import dlt


@dlt.source
def few(size: int = 1):
    yield dlt.resource([{"id": n} for n in range(size)], name="some", write_disposition="replace")
"""


def test_what_one_spec_takes_is_no_mistake_in_a_run_of_several(engine):
    """Each is given what it knows; what none of them knows is refused before anything runs."""
    engine.source("few", FEW)
    given = ("--all", "--env", "test", "--with", "size=3", "--with", "page_rows=2", "--with", "http.max_attempts=2")
    assert engine.etl("plan", *given[1:]).code == 0
    assert engine.etl("run", *given).code == 0
    assert engine.query("SELECT count(*) FROM few.some") == [(3,)]
    refused = engine.etl("run", "--all", "--env", "test", "--with", "sise=3")
    assert (refused.code, refused.err) == (
        2, "--with sise: none of these specs has such an argument (did you mean 'size'?)\n"
    )  # fmt: skip


def test_with_overrides_an_argument(engine, tmp_path):
    other = engine.write("other.json", json.dumps(rows(2)))
    assert engine.etl("run", "toy", "--env", "test", "--with", f"rows_file={other}").code == 0
    assert ids(engine) == [1, 2]
    wrong = engine.etl("run", "toy", "--env", "test", "--with", "row_file=x")
    assert (wrong.code, "did you mean 'rows_file'?" in wrong.err) == (2, True)


def test_a_source_that_appends_must_say_why(engine):
    source = (engine.root / "sources/toy.py").read_text()
    engine.write(
        "sources/toy.py", source.replace('@dlt.resource(primary_key="id", write_disposition="merge")', "@dlt.resource")
    )
    refused = killed.run(engine, "run", "toy", "--env", "test")
    assert (refused.code, "resources.others.append_reason" in refused.err) == (2, True)
    spec = (engine.root / "specs/toy.yaml").read_text()
    engine.write("specs/toy.yaml", f"{spec}resources:\n  others: {{append_reason: a log without a key}}\n")
    assert killed.run(engine, "run", "toy", "--env", "test").code == 0
    limited = killed.run(engine, "run", "toy", "--env", "test", "--limit", "1")
    assert (limited.code, "others appends" in limited.err) == (2, True)
    assert killed.run(engine, "run", "toy", "--env", "test", "--limit", "1", "--exclude", "others").code == 0


def test_a_relative_path_starts_at_the_workspace(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert engine.etl("run", "toy", "--env", "test", "--with", "rows_file=toy.json").code == 0
    assert ids(engine) == list(range(1, 11))


CHILDREN = """\
import dlt


@dlt.source(name="family", section="family")
def family():
    yield parents
    yield parents | children


@dlt.resource(primary_key="id", write_disposition="merge", columns={"id": {"data_type": "bigint", "nullable": False}})
def parents():
    yield [{"id": 1}, {"id": None}, {"id": 2}]


@dlt.transformer(primary_key="id", write_disposition="merge")
def children(rows):
    for row in rows:
        yield {"id": row["id"] * 10}
"""


def test_a_parent_that_is_not_selected_feeds_its_children_good_rows_alone(workspace):
    made = workspace()
    made.source("family", CHILDREN)
    result = made.etl("run", "family", "--env", "test", "--select", "children")
    assert result.code == 3, result.err
    assert made.query("SELECT id FROM family.children ORDER BY id") == [(10,), (20,)]
