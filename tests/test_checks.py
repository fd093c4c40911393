"""Checks of every kind on every kind of warehouse, what a run makes of them, and what cannot be one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, NamedTuple

import duckdb
import pytest

from pipelines.checks.mistakes import Known, mistakes
from pipelines.specs.checks import Range
from tests import promised
from tests.clouds.project import project as clouds_project
from tests.postgres_server import database
from tests.warehouse import Ask
from tests.workspace import Workspace

ENVIRONMENTS = {"duckdb": "test", "postgres": "pg", "bigquery": "bq"}
MEND = "mend the rows where they come from, or the check"
LOOK = "see what was loaded: etl status toy --env {}; load what is missing, or mend the check"
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
    Case("fresh: things.changed, within: 1d, where: id > 99, name: none", "fail", None, "no changed at all, "),
    Case("fresh: things.kind, within: 1d", "fail", None, "kind holds no time or date; check another column"),
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
            f"--rows 20; {MEND}",
            f"FAIL    toy.old: {OLD}; {LOOK.format(env)}",
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
        (4, "fail", "1 row, 3 before; expected to shrink by 50% at most"),
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
            "toy.things: 1 row in quarantine; see: etl quarantine list toy --env test",
            "toy: made by_kind, tagged",
            "toy: 2 of 4 checks ok",
            f"FAIL    toy.doubles: 2 rows; see them: etl check toy --env test --select doubles --rows 20; {MEND}",
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
        "warehouse.duckdb: is not there yet; load something first: etl run NAME --env test\n",
    )
    assert made.etl("run", "toy", "--env", "test").code == 0
    before = Ask(made)("SELECT * FROM _etl.checks")
    file = made.root / "warehouse.duckdb"
    file.chmod(0o444)
    assert made.etl("check", "toy", "--env", "test").code == 0
    file.chmod(0o644)
    assert Ask(made)("SELECT * FROM _etl.checks") == before
    assert made.etl("check", "toy", "--select", "unqiue_things_id", "--env", "test").err == (
        "--select unqiue_things_id: no check is named so (did you mean 'unique_things_id'?); "
        "see: etl check --env test\n"
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
  - {unique: things__tags._dlt_id}
  - {sql: models/toy/checks/a.sql}
  - {sql: models/toy/checks/b.sql}
  - {sql: models/toy/checks/c.sql}
  - {range: things.amount, min: low, max: 9}
  - {range: things.changed, max: 9}
  - {range: things.id, min: 9, max: 1}
  - {accepted: things.id, values: [1, two]}
  - {fresh: things.amount, within: 1d}
  - {relationship: things.id, to: others.name}
  - {not_null: things.kindd}
  - {unique: by_kind.kind, where: amuont > 1, name: one}
  - {row_count: things, min: 1, where: count(*) > 1, name: one}
  - {row_count: things, max: 1, where: id + 1}
  - {row_count: things, max: 2, where: id IN (SELECT id FROM xyz)}
"""
TOLD = """\
models/toy/checks/b.sql:2:13: no table or model named 'thingz' (did you mean 'things'?); known: by_kind, others, tagged, things
models/toy/checks/c.sql:1:1: expected one SELECT and nothing else
specs/toy.yaml:5:14: checks[0].unique: no table or model named 'thing' (did you mean 'things'?); known: by_kind, others, tagged, things
specs/toy.yaml:7:35: checks[2].to: no table or model named 'other' (did you mean 'others'?); known: by_kind, others, tagged, things
specs/toy.yaml:8:14: checks[3].unique: by_kind has no column 'kinds' (did you mean 'kind'?)
specs/toy.yaml:9:32: checks[4].where: not SQL: expected something else at '>'
specs/toy.yaml:10:5: checks[5]: the same check stands there before; leave one out
specs/toy.yaml:11:11: checks[6].sql: there is no such file, or it is not UTF-8 text
specs/toy.yaml:14:33: checks[9].min: amount is a double, expected a number
specs/toy.yaml:15:34: checks[10].max: changed is a timestamp, expected a time such as '2024-01-31T00:00:00Z'
specs/toy.yaml:16:37: checks[11].max: expected at least min, 9
specs/toy.yaml:17:35: checks[12].values: id is a bigint, which 'two' never equals
specs/toy.yaml:18:13: checks[13].fresh: amount is a double, expected a timestamp or a date
specs/toy.yaml:21:35: checks[16].where: by_kind has no column 'amuont' (did you mean 'amount'?)
specs/toy.yaml:22:5: checks[17]: another check is named 'one'; give this one another name
specs/toy.yaml:22:40: checks[17].where: is judged row by row, so it cannot count or sum; write a query in a file, as sql:
specs/toy.yaml:23:40: checks[18].where: is no condition: it is neither true nor false
specs/toy.yaml:24:40: checks[19].where: no table or model named 'xyz'; known: by_kind, others, tagged, things
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


def test_a_number_is_no_bound_of_a_text():
    known = {"games": Known({"url": "text"})}
    told = [("min", "url is a text, expected text in quotes")]
    assert [*mistakes(Range(range="games.url", min=1), known)] == told
    assert [*mistakes(Range(range="games.url", min="1"), known)] == []


def test_checks_that_would_share_a_name_are_numbered(workspace):
    cases = ["accepted: things.of, values: [1]", "accepted: things.of, values: [1, 2]", "row_count: things, min: 1",
             "row_count: things, max: 9", "unique: things.id, name: row_count_things"]  # fmt: skip
    made = promised.install(workspace(), checks([Case(case, "") for case in cases]), models="{}")
    run = made.etl("run", "toy", "--env", "test", "--output", "json")
    assert [(check["name"], check["status"]) for check in run.json[0]["checks"]] == [
        ("accepted_things_of", "fail"), ("accepted_things_of_2", "ok"), ("row_count_things_2", "ok"),
        ("row_count_things_3", "ok"), ("row_count_things", "ok"),
    ]  # fmt: skip


def test_an_unknown_column_of_a_closed_table_is_a_mistake(workspace):
    made = promised.install(workspace(), checks([Case("not_null: things.amuont", "")]))
    assert made.etl("validate").code == 0, "a column may come any time"
    file = made.root / "specs/toy.yaml"
    file.write_text(file.read_text() + "resources: {things: {schema_contract: {columns: freeze}}}\n")
    said = "specs/toy.yaml:5:16: checks[0].not_null: things has no column 'amuont' (did you mean 'amount'?)\n"
    assert made.etl("validate").out == said


def test_rows_are_shown_by_what_matters(workspace):
    made = promised.install(workspace(), checks([Case("not_null: things.of", ""), Case("unique: things.id", "")]))
    wide = [{**row, "a_text": "x" * 99, **{f"column_{n}": n for n in range(50)}} for row in promised.rows()]
    made.write("toy.json", json.dumps(wide))
    assert made.etl("run", "toy", "--env", "test").code == 4
    shown = made.etl("check", "toy", "--env", "test", "--select", "not_null*", "--rows", "1").out.splitlines()[1]
    assert shown.startswith("        id=3  of=null  "), shown
    assert shown.endswith("  …")
    assert len(shown) < 180
    assert f'a_text="{"x" * 39}…' in shown
    told = made.etl("check", "toy", "--env", "test", "--select", "not_null*", "--rows", "1", "--output", "json")
    assert told.json[0]["checks"][0]["rows"][0]["a_text"] == "x" * 99


def test_only_what_can_hold_is_judged_after_a_part(workspace):
    """A relationship between what was read and what was not; made of both, by a model."""
    held = ["relationship: things.of, to: others.id", "relationship: things.of, to: things.id, name: itself",
            "relationship: tagged.id, to: others.id, name: by_model"]  # fmt: skip
    made = promised.install(workspace(), checks([Case(case, "") for case in held]), models="{}")
    part = "not judged after a run of a part"
    for words, said in {
        (): [("fail", "2 rows"), ("ok", ""), ("fail", "15 rows")],
        ("--select", "things"): [("skipped", part), ("ok", ""), ("skipped", part)],
        ("--exclude", "things"): [("skipped", part), ("ok", ""), ("skipped", part)],
        ("--limit", "1"): [("skipped", part)] * 3,
    }.items():
        found = made.etl("run", "toy", "--env", "test", *words, "--output", "json").json[0]["checks"]
        assert [(check["status"], check["message"]) for check in found] == said, words


ROWS_OF = """\
subjects: {account: {rows: [things.kind]}}
"""


@pytest.mark.parametrize("how", ["erased", "full refresh"])
def test_rows_that_were_taken_away_on_purpose_are_no_loss(workspace, how):
    made = promised.install(workspace(), checks([Case("row_count: things, drop_at_most: 10%", "")]) + ROWS_OF, "{}")
    assert made.etl("run", "toy", "--env", "test").code == 0
    left = [row for row in promised.rows() if row["kind"] != "it's"]
    made.write("toy.json", json.dumps(left))
    if how == "erased":
        assert made.etl("erase", "--account", "it's", "--env", "test", "--yes").code in (0, 3)
    run = made.etl("run", "toy", "--env", "test", *(["--full-refresh"] if how != "erased" else []))
    assert (run.code, "1 of 1 checks ok" in run.out) == (0, True), run
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        connection.execute("DELETE FROM toy.things WHERE kind = 'b'")
    assert made.etl("models", "toy", "--env", "test").code == 4, "what was lost is told all the same"


def test_a_check_whose_rows_cannot_be_read_is_one_that_cannot_be_asked(workspace):
    """A count leaves the column out that `--rows` trips over; the checks after it are judged nonetheless."""
    made = workspace()
    promised.install(made, "  - {sql: models/toy/checks/cast.sql}\n  - {unique: things.id}\n")
    made.write("models/toy/checks/cast.sql", "SELECT CAST(kind AS INTEGER) AS number FROM things")
    assert made.etl("run", "toy", "--env", "test").code == 4
    told = made.etl("check", "toy", "--env", "test", "--rows", "2")
    assert (told.code, told.err) == (4, "")
    first, second, *_ = told.out.splitlines()
    assert first.startswith("FAIL    toy.cast: could not be asked: Conversion Error: Could not convert string … ")
    assert (first.endswith("; mend the check"), second) == (True, "ok      toy.unique_things_id")
