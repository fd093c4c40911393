"""A power cut tears files that dlt was writing: nothing stands still, and what waited is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from pipelines.resume import clear
from tests import crash_toy
from tests.killed import At, killed, run
from tests.warehouse import Ask, contents, faults
from tests.workspace import Workspace

TEARS = {
    "half": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "zeros": lambda whole: b"\0" * len(whole),
    "another kind": lambda whole: b"[1]",
}
LOADING = At("dlt.load.load:Load.start_new_jobs")
READ = At("dlt.normalize.normalize:Normalize.run")
RUN = ("run", "crash", "--env", "test")


def tear(workspace: Workspace, pattern: str, how: str) -> None:
    """Tear the one file of the pipeline that the pattern names."""
    (file,) = (workspace.root / ".dlt/state/test/crash").glob(pattern)
    file.write_bytes(TEARS[how](file.read_bytes()))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What a run that nobody kills loads."""
    alone = crash_toy.install(Workspace(tmp_path_factory.mktemp("unbroken") / "a workspace"))
    assert run(alone, *RUN).code == 3
    return contents(Ask(alone), "crash")


@pytest.mark.parametrize(
    ("file", "how"), [("state.json", "half"), ("state.json", "zeros"), ("schemas/crash.schema.json", "half")]
)
def test_a_torn_file_is_made_anew_from_the_destination(workspace, file, how):
    made = crash_toy.install(workspace())
    assert made.etl(*RUN).code == 3
    before = contents(Ask(made), "crash")
    tear(made, file, how)
    assert made.etl("state", "show", "crash", "--env", "test").json["state"]["resources"]["things"]
    result = made.etl(*RUN)
    assert (result.code, contents(Ask(made), "crash")) == (3, before), result
    tear(made, file, how)
    assert made.etl("state", "reset", "crash", "--env", "test").code == 0
    assert "things" not in str(made.etl("state", "show", "crash", "--env", "test").json["state"])


@pytest.mark.parametrize("how", TEARS)
def test_whatever_way_it_is_torn_it_does_not_stay(tmp_path, how):
    for name, whole in (("torn", False), ("whole", True)):
        state = tmp_path / name / "state.json"
        state.parent.mkdir()
        state.write_bytes(b'{"whole": 1}' if whole else TEARS[how](b'{"whole": 1}'))
        clear(tmp_path, name)
        assert state.exists() is whole


@pytest.mark.parametrize(
    ("moment", "file"), [(LOADING, "state.json"), (READ, "state.json"), (READ, "schemas/crash.schema.json")]
)
def test_what_waits_is_loaded_beside_a_torn_file(workspace, unbroken, moment, file):
    """The upstream has nothing any more, so the rows can come from the package alone."""
    made = crash_toy.install(workspace())
    killed(made, moment, *RUN)
    tear(made, file, "half")
    dry_up(made)
    result = run(made, *RUN)
    assert result.code == 0, result
    assert contents(Ask(made), "crash") == unbroken
    assert faults(Ask(made), "crash") == []


def test_what_a_later_run_left_is_loaded_too(workspace):
    made = crash_toy.install(workspace())
    assert made.etl(*RUN).code == 3
    crash_toy.move_to(made, 2)
    killed(made, LOADING, *RUN)
    tear(made, "state.json", "zeros")
    dry_up(made)
    assert run(made, *RUN).code == 0
    assert made.query("SELECT count(*) FROM crash.things") == [(24,)]
    assert made.query("SELECT count(*), max(number) FROM crash.events") == [(23, 23)]


def test_a_torn_package_is_read_again(workspace, unbroken):
    made = crash_toy.install(workspace())
    killed(made, LOADING, *RUN)
    tear(made, "load/normalized/*/schema.json", "zeros")
    assert run(made, *RUN).code == 3
    assert contents(Ask(made), "crash") == unbroken


def test_what_was_never_loaded_is_not_forgotten(workspace):
    made = crash_toy.install(workspace())
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as warehouse:
        warehouse.execute("CREATE TABLE mine (n BIGINT)")
    result = made.etl("state", "reset", "crash", "--env", "test")
    assert (result.code, result.err) == (2, "crash: was never loaded, so nothing is remembered\n")


def dry_up(workspace: Workspace) -> None:
    """Take the rows from the upstream, but for those of the table that is replaced whole."""
    rows = {name: rows if name == "levels" else [] for name, rows in crash_toy.rows(1).items()}
    Path(workspace.variables["SOURCES__CRASH__ROWS_FILE"]).write_text(json.dumps(rows))
