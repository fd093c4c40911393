"""`etl demo`: every spec, without account or network, and a second time without a change."""

from __future__ import annotations

import shlex

import duckdb

from pipelines.specs import spec as specs
from tests.conformance import SELDOM
from tests.toys import toy
from tests.workspace import DESTINATIONS, REPOSITORY


def demo_workspace(workspace, *names: str):
    made = workspace(*names or specs.names(REPOSITORY))
    made.write("destinations.toml", DESTINATIONS.replace("[test", "[demo"))
    return made


def counts(output: str) -> dict[str, str]:
    return {
        line.split()[0]: line.split()[1]
        for line in output.splitlines()
        if "SELECT * FROM" in line and "LIMIT" in line and "python" not in line
    }


def test_the_demo_runs_every_spec(workspace):
    made = demo_workspace(workspace)
    first = made.etl("demo", "--records", "20")
    assert first.code == 0, first.err
    datasets = {spec.dataset or spec.name for spec in specs.load_all(REPOSITORY)}
    assert {table.split(".")[0] for table in counts(first.out)} == datasets
    hints = [line.strip() for line in first.out.partition("What next")[2].splitlines()[1:]]
    assert [made.etl(*hint.split()[1:]).code for hint in hints] == [0, 0, 0], hints
    assert all(rows != "0" for table, rows in counts(first.out).items() if table not in SELDOM)
    told = {table: int(rows.replace(",", "")) for table, rows in counts(first.out).items()}
    assert dict(made.query(" UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in told))) == told


def test_the_demo_leaves_out_a_spec_without_a_stand_in_and_twice_changes_nothing(workspace):
    """That no spec of the repository changes anything when it runs again is one of the promises of each."""
    made = demo_workspace(workspace, "github", "recordings")
    made.write("specs/lonely.yaml", "name: lonely\nabout: A spec for which nobody wrote a stand-in.\npython: {}\n")
    made.write("sources/lonely.py", "import dlt\n\n\n@dlt.source(name='lonely')\ndef lonely():\n    return []\n")
    first, second = [made.etl("demo", "--records", "5") for _ in range(2)]
    for result in (first, second):
        assert (result.code, result.err.splitlines()[0]) == (
            0, "WARNING: left out, for want of a stand-in in sandbox/: lonely",
        )  # fmt: skip
    assert counts(first.out) == counts(second.out) != {}


def test_what_coverage_prints_after_the_demo_fills_it(workspace):
    """Nothing is asked of an upstream in an environment of the sandbox, whose clock counts."""
    made = demo_workspace(workspace, "chess")
    made.write("destinations.toml", DESTINATIONS.replace("[test]", "[demo]\nsandbox = true").replace("[test", "[demo"))
    assert made.etl("demo", "--records", "20").code == 0
    look = ("coverage", "chess", "--env", "demo")
    whole = made.etl(*look)
    assert (whole.code, whole.out.splitlines()[-1]) == (0, "chess: nothing is missing in demo"), whole
    assert len(whole.out.splitlines()) < 30
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        connection.execute("DELETE FROM chess.games WHERE end_time < '2023-05-01'")
    told = made.etl(*look)
    assert (told.code, told.out.splitlines()[-1]) == (4, "chess: 1 missing in demo")
    assert made.etl(*shlex.split(told.out.splitlines()[-2])[1:]).code == 0
    assert made.etl(*look).code == 0
    dry = made.etl("erase", "--player", "demo_anna", "--env", "demo", "--dry-run")
    assert "the sandbox: sources.chess.players still asks for the value, so the next run brings it back" in dry.err


def test_a_spec_without_a_stand_in_is_refused_where_runs_ask_the_sandbox(workspace):
    made = workspace()
    made.write("destinations.toml", DESTINATIONS.replace("[test]", "[test]\nsandbox = true"))
    toy(made, [])
    assert made.etl("run", "toy", "--env", "test").err == (
        "toy: no stand-in in sandbox/, and [test] has sandbox = true; write one, or choose another --env\n"
    )


def test_the_doctor_wants_no_settings_that_the_sandbox_gives(workspace):
    made = demo_workspace(workspace, "chess")
    made.write("destinations.toml", DESTINATIONS.replace("[test]", "[test]\nsandbox = true"))
    wanted = made.etl("doctor", "--env", "test")
    assert (wanted.code, [line for line in wanted.out.splitlines() if not line.startswith("OK  ")]) == (0, []), wanted
    assert "OK    setting sources.chess.contact: found in the sandbox" in wanted.out.splitlines()
    made.write("destinations.toml", DESTINATIONS)
    assert "FAIL  setting sources.chess.contact: missing" in made.etl("doctor", "--env", "test").out


def test_people_are_signed_in_where_runs_ask_the_sandbox(workspace):
    made = workspace("spotify")
    assert made.etl("auth", "status", "--env", "test").code == 6
    made.write("destinations.toml", DESTINATIONS.replace("[test]", "[test]\nsandbox = true"))
    signed_in = made.etl("auth", "status", "--env", "test", "--output", "json")
    assert (signed_in.code, [one["account"] for one in signed_in.json]) == (0, ["anna", "boris"]), signed_in
