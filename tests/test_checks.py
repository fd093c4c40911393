"""Checks of every kind on every kind of warehouse, what a run makes of them, and what cannot be one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, NamedTuple

import duckdb
import pytest

from tests import promised
from tests.clouds.project import project as clouds_project
from tests.postgres_server import database
from tests.warehouse import Ask
from tests.workspace import Workspace

ENVIRONMENTS = {"duckdb": "test", "postgres": "pg", "bigquery": "bq"}
OLD = "the newest is of 2024-01-06 23:30, expected one within 30d"


class Case(NamedTuple):
    """A check, how it comes out, how many rows break it, what is said, and one of those rows in part."""

    check: str
    status: str
    failing: int | None = 0
    message: str = ""
    row: Mapping[str, Any] = MappingProxyType({})


CASES = [
    Case("not_null: things.id", "ok"),
    Case("not_null: things.of", "fail", 2, "2 rows", {"id": 3}),
    Case("not_null: [things.id, things.of], where: id > 3 OR id < 0, name: big", "fail", 1, "1 row", {"id": 6}),
    Case("unique: things.id", "ok"),
    Case("unique: things.kind, severity: warn", "warn", 2, "2 rows", {"kind": "it's", "times": 2}),
    Case("unique: [things.kind, things.of]", "ok"),
    Case("unique: things.of", "fail", 2, "2 rows", {"of": 1, "times": 2}),
    Case("relationship: things.of, to: others.id", "fail", 2, "2 rows", {"of": 2}),
    Case("relationship: things__tags._dlt_parent_id, to: things._dlt_id", "ok"),
    Case("relationship: things.of, to: things.id, name: itself", "ok"),
    Case("""accepted: things.kind, values: [a, b, c, "it's"]""", "ok"),
    Case("accepted: things.of, values: [1], where: \"kind LIKE '%s%'\"", "fail", 1, "1 row", {"id": 5, "of": 2}),
    Case("range: things.amount, min: 1.25, max: 6.25", "ok"),
    Case("range: things.amount, min: 2, name: at_least", "fail", 1, "1 row", {"id": 1}),
    Case('range: things.changed, max: "2024-01-05T23:45:00Z"', "fail", 1, "1 row", {"id": 6}),
    Case("row_count: things, min: 6, max: 6", "ok", None),
    Case("row_count: things, min: 7, name: more", "fail", None, "6 rows, expected at least 7"),
    Case("row_count: things, max: 1, where: kind = 'a', name: less", "fail", None, "2 rows, expected at most 1"),
    Case("fresh: things.changed, within: 9999w", "ok", None),
    Case("fresh: things.changed, within: 30d, name: old", "fail", None, OLD),
    Case("fresh: by_kind.month, within: 30d", "fail", None, OLD.replace("06 23:30", "01 23:59")),
    Case("fresh: things.changed, within: 1d, where: id > 99, name: none", "fail", None, "no changed at all"),
    Case("fresh: things.amount, within: 1d", "fail", None, "amount holds no time or date; check another column"),
    Case("sql: models/toy/checks/more_by_kind.sql", "fail", 1, "1 row", {"id": 6, "kind": "c"}),
    Case("sql: models/toy/checks/nothing.sql", "ok"),
    Case("sql: models/toy/checks/wrong.sql", "fail", None, "could not be asked: "),
    Case(
        "not_null: things.amuont", "fail", None,
        "things has no column 'amuont' (did you mean 'amount'?); mend the check, or declare the column",
    ),
]  # fmt: skip
FILES = {
    "more_by_kind": "SELECT * FROM things WHERE id > (SELECT max(amount) / 2 + 3 FROM by_kind WHERE kind = 'a')",
    "nothing": "SELECT t.id FROM toy.things t WHERE t.id > 99 -- 100%",
    "wrong": "SELECT * FROM things WHERE amuont > 1",
}


def checks(cases: list[Case]) -> str:
    return "".join(f"  - {{{case.check}}}\n" for case in cases)


@pytest.fixture(scope="module", params=list(ENVIRONMENTS))
def loaded(request, tmp_path_factory) -> Iterator[tuple[Workspace, str]]:
    """A workspace after one run, and the environment of it."""
    workspace, kind = Workspace(tmp_path_factory.mktemp(request.param) / "a workspace"), request.param
    promised.install(workspace, checks(CASES))
    for name, sql in FILES.items():
        workspace.write(f"models/toy/checks/{name}.sql", sql)
    with ExitStack() as stack:
        if kind == "postgres":
            server = request.getfixturevalue("postgres_server")
            url = stack.enter_context(database(server))
            workspace.postgres(url)
        if kind == "bigquery":
            project = stack.enter_context(clouds_project())
            workspace.bigquery(project.variables)
        yield workspace, ENVIRONMENTS[kind]


def test_a_check_comes_out_as_it_must(loaded: tuple[Workspace, str]):
    workspace, env = loaded
    run = workspace.etl("run", "toy", "--env", env, "--output", "json")
    assert (run.code, run.json[0]["status"]) == (4, "checks_failed"), run
    told = workspace.etl("check", "toy", "--env", env, "--rows", "9", "--output", "json")
    assert told.code == 4
    found = told.json[0]["checks"]
    assert len(found) == len(CASES) + 2, "those of models.yaml come last"
    for case, result in zip(CASES, found, strict=False):
        shown = (result["status"], result["failing"], result["message"][: len(case.message) or 999])
        assert shown == (case.status, case.failing, case.message), (case, result)
        assert len(result["rows"]) == (case.failing or 0), case
        wanted = [row for row in result["rows"] if {**row, **case.row} == row]
        assert wanted or not case.row, (case, result["rows"])
    without_rows = [{**result, "rows": None} for result in found]
    assert [{**result, "rows": None} for result in run.json[0]["checks"]] == without_rows, "a run says the same"


def test_history_and_plan(loaded: tuple[Workspace, str]):
    workspace, env = loaded
    plan = workspace.etl("plan", "toy", "--env", env, "--output", "json").json[0]
    assert plan["models"] == ["by_kind", "tagged"]
    assert plan["checks"][:2] == ["not_null_things_id", "not_null_things_of"]
    picked = workspace.etl("check", "toy", "--env", env, "--select", "ol?,unique_things_kind")
    assert (picked.code, picked.out.splitlines()) == (
        4,
        [
            f"WARN    toy.unique_things_kind: 2 rows; see them: etl check toy --env {env} --select unique_things_kind "
            "--rows 20",
            f"FAIL    toy.old: {OLD}",
        ],
    )


def test_counts_are_compared_with_the_last_run(workspace):
    made = promised.install(workspace(), checks([Case("row_count: things, drop_at_most: 50%", "")]), models="{}")
    steps = [("run", 6, ()), ("models", 3, ()), ("run", 1, ("--select", "others", "--limit", "1")), ("models", 1, ())]
    said = []
    for command, left, words in [*steps, ("models", 1, ())]:
        if said:
            with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
                connection.execute(f"DELETE FROM toy.things WHERE id > {left}")
        result = made.etl(command, "toy", "--env", "test", *words, "--output", "json")
        said.append((result.code, result.json[0]["checks"][0]["status"], result.json[0]["checks"][0]["message"]))
    assert said == [
        (0, "ok", ""),
        (0, "ok", ""),
        (0, "skipped", "not judged after a run of a part"),
        (4, "fail", "1 row, 3 in the last run: it may shrink by 50% at most"),
        (0, "ok", ""),
    ]
    assert made.query("SELECT counted FROM _etl.checks ORDER BY checked_at") == [(6,), (3,), (None,), (1,), (1,)]


def test_a_failed_check_is_worse_than_a_rejected_row_and_a_warning_is_nothing(workspace):
    made = workspace()
    promised.install(made, checks([Case("unique: things.kind, name: doubles", ""), Case("not_null: others.of", "")]))
    rows = [*promised.rows(), {"id": None, "changed": "2024-01-09T00:00:00Z", "kind": "d"}]
    made.write("toy.json", json.dumps(rows))
    run = made.etl("run", "toy", "--env", "test", "--run-id", "first", "--select", "things")
    assert (run.code, run.out.splitlines()[-6:-1]) == (
        4,
        [
            "toy.things: 1 row in quarantine; see: etl quarantine list toy",
            "toy: made by_kind, tagged",
            "toy: 2 of 4 checks ok",
            "FAIL    toy.doubles: 2 rows; see them: etl check toy --env test --select doubles --rows 20",
            "skipped toy.not_null_others_of: there is no table others yet",
        ],
    )
    errors = json.loads((made.root / "runs/first/error.json").read_text())["errors"]
    assert {"unit": "doubles", "message": "2 rows"} in errors
    made.write("specs/toy.yaml", (made.root / "specs/toy.yaml").read_text().replace("name: doubles", "severity: warn"))
    made.write("toy.json", json.dumps(promised.rows()))
    assert made.etl("run", "toy", "--env", "test").code == 0
    assert made.query("SELECT exit_code, status FROM _etl.runs ORDER BY started_at") == [
        (4, "checks_failed"),
        (0, "ok"),
    ]


def test_looking_writes_nothing_and_needs_something_to_look_at(workspace):
    made = promised.install(workspace(), checks([Case("unique: things.id", "")]))
    refused = made.etl("check", "--env", "test")
    assert (refused.code, refused.err) == (
        2,
        "warehouse.duckdb: is not there yet; load something first with etl run\n",
    )
    assert made.etl("run", "toy", "--env", "test").code == 0
    before = Ask(made)("SELECT * FROM _etl.checks")
    file = made.root / "warehouse.duckdb"
    file.chmod(0o444)
    assert made.etl("check", "toy", "--env", "test").code == 0
    file.chmod(0o644)
    assert Ask(made)("SELECT * FROM _etl.checks") == before
    assert made.etl("check", "toy", "--select", "unqiue_things_id", "--env", "test").err == (
        "--select unqiue_things_id: no check is named so (did you mean 'unique_things_id'?); see: etl check\n"
    )
    assert made.etl("check", "toy", "--rows=-1", "--env", "test").code == 2


WRONG = """\
  - {not_nul: things.id}
  - {unique: [things.id, others.id]}
  - {range: things.id}
  - {row_count: things, drop_at_most: 150%}
  - {fresh: things.changed, within: 30 days}
  - {sql: ../x.sql}
  - {accepted: things.kind, values: [[a]]}
"""
SAID = """\
specs/toy.yaml:5:5: checks[0]: expected a mapping with one of: not_null, unique, relationship, accepted, range, row_count, fresh, sql
specs/toy.yaml:6:14: checks[1].unique: expected columns of one table, got columns of others and things
specs/toy.yaml:7:5: checks[2]: expected min, max or both
specs/toy.yaml:8:39: checks[3].drop_at_most: expected a share such as 10%
specs/toy.yaml:9:37: checks[4].within: expected a time such as 90m, 12h, 30d or 2w
specs/toy.yaml:10:11: checks[5].sql: expected the path of an .sql file of the workspace, such as models/chess/checks/a.sql
specs/toy.yaml:11:38: checks[6].values[0]: expected text or a number or true or false, got a list
"""  # noqa: E501
MEANT = """\
  - {unique: thing.id}
  - {unique: things__tags._dlt_id}
  - {relationship: things.of, to: other.id}
  - {unique: by_kind.kinds}
  - {unique: things.id, where: id >}
  - {unique: things.id}
  - {sql: models/toy/checks/a.sql}
  - {sql: models/toy/checks/b.sql}
  - {sql: models/toy/checks/c.sql}
"""
TOLD = """\
models/toy/checks/b.sql:2:13: no table or model named 'thingz' (did you mean 'things'?); known: by_kind, others, tagged, things
models/toy/checks/c.sql:1:1: expected one SELECT and nothing else
specs/toy.yaml:5:14: checks[0].unique: no table or model named 'thing' (did you mean 'things'?); known: by_kind, others, tagged, things
specs/toy.yaml:7:35: checks[2].to: no table or model named 'other' (did you mean 'others'?); known: by_kind, others, tagged, things
specs/toy.yaml:8:14: checks[3].unique: the model by_kind has no column 'kinds' (did you mean 'kind'?)
specs/toy.yaml:9:32: checks[4].where: not SQL: expected something else at '>'
specs/toy.yaml:10:5: checks[5]: another check is named 'unique_things_id'; give this one a name
specs/toy.yaml:11:11: checks[6].sql: there is no such file, or it is not UTF-8 text
"""  # noqa: E501


@pytest.mark.parametrize(("written", "told"), [(WRONG, SAID), (MEANT, TOLD)])
def test_mistakes_are_told_before_anything_is_loaded(workspace, written, told):
    made = promised.install(workspace(), written)
    made.write("models/toy/checks/b.sql", "SELECT 1\nFROM    toy.thingz")
    made.write("models/toy/checks/c.sql", "DELETE FROM things")
    result = made.etl("validate")
    assert (result.code, result.out) == (2, told)
    run = made.etl("run", "toy", "--env", "test")
    assert (run.code, run.err) == (2, told)
    assert not (made.root / "warehouse.duckdb").exists()
