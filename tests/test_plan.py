"""`etl plan`: what a run would do; nothing is asked upstream and nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import killed
from tests.scripted_server import reply, serving
from tests.toys import COLUMNS, rows, toy
from tests.workspace import REPOSITORY, Workspace

PLANTED = "hunter2-planted"
NEEDY = '''\
"""A source that needs settings."""

import dlt


@dlt.source(name="needy", section="needy")
def needy(account: str = dlt.config.value, token: str = dlt.secrets.value, pages: int = 3):
    return dlt.resource(never, name="pages", write_disposition="append")


def never():
    raise AssertionError("a plan must not run a resource")
    yield


def estimate(state, account: str, pages: int = 3):
    return {"pages": pages}
'''
SPEC = "name: needy\nabout: Needs settings.\npython: {pages: 7}\nresources: {pages: {append_reason: a test}}\n"
REST = """\
name: asked
about: Must not be asked.
rest:
  client: {base_url: http://127.0.0.1/, auth: bearer}
  resources: [things]
  resource_defaults: {write_disposition: merge, primary_key: id}
"""


@pytest.fixture
def engine(workspace):
    """A workspace with a toy of ten rows."""
    made = workspace()
    toy(made, rows(10))
    return made


def plan(workspace: Workspace, *arguments: str, env: str = "test", **variables: str) -> dict:
    """The plan of one spec."""
    result = workspace.etl("plan", *arguments, "--env", env, "--output", "json", **variables)
    assert (result.code, result.err) == (0, "")
    (planned,) = result.json
    return planned


def of(planned: dict, resource: str) -> dict:
    return next(each for each in planned["resources"] if each["name"] == resource)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its content; Python's own cache left out."""
    files = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def test_no_upstream_is_asked(workspace, sandbox):
    made = workspace("chess", "recordings")
    made.point_at(sandbox.settings())
    assert made.etl("plan", "--env", "test").code == 0
    assert sandbox.requests == []
    assert made.etl("run", "--all", "--env", "test").code == 0
    sandbox.forget_requests()
    assert made.etl("plan", "--env", "test").code == 0
    assert sandbox.requests == []


def test_a_rest_upstream_is_not_asked(engine):
    engine.write("specs/asked.yaml", REST)
    with serving(lambda asked: reply(500)) as server:
        settings = {"SOURCES__ASKED__BASE_URL": server.url, "SOURCES__ASKED__CREDENTIALS__TOKEN": PLANTED}
        planned = plan(engine, "asked", **settings)
    assert server.asked == []
    assert [each["path"] for each in planned["needs"]] == ["sources.asked.credentials.token"]
    assert PLANTED not in str(planned)


def test_a_plan_says_which_token_is_missing_and_goes_on(engine):
    engine.write("specs/asked.yaml", REST)
    [need] = plan(engine, "asked", SOURCES__ASKED__BASE_URL="http://127.0.0.1:9")["needs"]
    assert (need["path"], need["found"]) == ("sources.asked.credentials.token", None)


@pytest.mark.parametrize("command", [["plan"], ["plan", "toy"], ["run", "toy", "-n"], ["run", "toy", "--mode", "dry"]])
def test_nothing_is_written_before_the_first_run(engine, tmp_path, monkeypatch, command):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = tree(engine.root)
    assert engine.etl(*command, "--env", "test").code == 0
    assert tree(engine.root) == before
    assert tree(scratch) == {}


def test_nothing_is_written_after_a_run(engine, tmp_path, monkeypatch):
    assert engine.etl("run", "toy", "--env", "test").code == 0
    toy(engine, rows(12, more="a new column"), columns={**COLUMNS, "more": {"data_type": "text"}})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = tree(engine.root)
    assert engine.etl("plan", "toy", "--env", "test", "--limit", "3").code == 0
    assert tree(engine.root) == before
    assert not list(tmp_path.glob("etl-*"))


def test_nothing_is_written_in_the_home_folder(engine, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "cli", "--root", str(engine.root), "plan", "toy", "--env", "test"]
    variables = {**os.environ, **engine.variables, "HOME": str(home)}
    subprocess.run(command, cwd=REPOSITORY, env=variables, check=True, capture_output=True)
    assert tree(home) == {}


def test_all_forms_of_a_plan_are_one(engine):
    outputs = {
        engine.etl(*command, "--env", "test", "--select", "things").out
        for command in (["plan", "toy"], ["run", "toy", "-n"], ["run", "toy", "--mode", "dry"])
    }
    assert len(outputs) == 1


def test_the_cursor_is_shown(engine):
    assert of(plan(engine, "toy"), "things")["cursor"] == "from the beginning"
    engine.etl("run", "toy", "--env", "test")
    planned = plan(engine, "toy")
    assert of(planned, "things")["cursor"] == "changed from 2024-01-01T00:10:00Z"
    assert of(planned, "others")["cursor"] == "from the beginning"


def test_what_the_order_asks_is_shown(engine):
    window = ["--since", "2024-01-01", "--until", "2024-01-02T12:00"]
    planned = plan(engine, "toy", "--select", "th*", *window, "--limit", "5")
    assert [each["name"] for each in planned["resources"]] == ["things"]
    assert planned["window"] == "[2024-01-01T00:00:00Z, 2024-01-02T12:00:00Z)"
    assert planned["limit"] == 5
    text = engine.etl("plan", "toy", "--env", "test", "--since", "2024-01-01", "--limit", "5").out
    assert text.splitlines()[:3] == [
        "toy → toy in test, as parquet (cursor stays)",
        "  window [2024-01-01T00:00:00Z, …)",
        "  at most 5 rows per resource",
    ]


@pytest.mark.parametrize("again", [["--full-refresh"], ["--mode", "backfill"], ["--since", "2024-01-01"]])
def test_a_run_that_starts_anew_is_planned_so(engine, again):
    engine.etl("run", "toy", "--env", "test")
    out = engine.etl("run", "toy", "--env", "test", "--dry-run", *again).out
    assert "cursor: from the beginning" in out
    assert "cursor: changed from" not in out
    assert ("  drops these tables and loads them again\n" in out) is (again == ["--full-refresh"])
    assert ("(cursor stays)" in out) is (again != ["--full-refresh"])


def test_write_dispositions_and_keys_are_shown(engine):
    things = of(plan(engine, "toy"), "things")
    assert (things["table"], things["write_disposition"], things["primary_key"]) == ("things", "merge", ["id"])
    assert "things → things: merge by id" in engine.etl("plan", "toy", "--env", "test").out


def test_schema_changes_are_shown(engine):
    assert of(plan(engine, "toy"), "things")["schema"] == "new"
    engine.etl("run", "toy", "--env", "test", "--select", "things")
    planned = plan(engine, "toy")
    assert of(planned, "things")["schema"] == "no change"
    assert of(planned, "others")["schema"] == "new"


def test_a_column_that_a_run_would_add_is_shown(engine):
    engine.etl("run", "toy", "--env", "test")
    toy(engine, rows(10), columns={**COLUMNS, "mood": {"data_type": "text"}, "Age": {"data_type": "bigint"}})
    text = killed.run(engine, "plan", "toy", "--env", "test").out  # the source has changed
    assert "    table: adds age, mood\n" in text


def test_a_destination_that_is_away_is_part_of_the_plan(engine):
    engine.postgres("postgresql://etl:x@127.0.0.1:1/etl")
    planned = plan(engine, "toy", env="pg")
    assert planned["reached"].startswith("could not be reached: toy: the destination is away: ")
    assert {each["schema"] for each in planned["resources"]} == {"unknown"}
    assert planned["loader_format"] == "parquet"
    assert "  destination: could not be reached" in engine.etl("plan", "toy", "--env", "pg").out


def test_postgres_is_looked_at(engine, postgres_url):
    engine.postgres(postgres_url)
    assert of(plan(engine, "toy", env="pg"), "things")["schema"] == "new"
    assert engine.etl("run", "toy", "--env", "pg").code == 0
    planned = plan(engine, "toy", env="pg")
    assert (planned["reached"], of(planned, "things")["schema"]) == ("ok", "no change")
    assert of(planned, "things")["cursor"] == "changed from 2024-01-01T00:10:00Z"


def test_secrets_and_settings_are_found_or_missing_and_never_shown(engine):
    engine.write("specs/needy.yaml", SPEC)
    engine.write("sources/needy.py", NEEDY)
    missing = engine.etl("plan", "needy", "--env", "test")
    assert missing.code == 0
    assert "  setting sources.needy.account: missing; set SOURCES__NEEDY__ACCOUNT\n" in missing.out
    assert "  secret sources.needy.token: missing; set SOURCES__NEEDY__TOKEN\n" in missing.out
    engine.write(".dlt/secrets.toml", f'[sources.needy]\ntoken = "{PLANTED}"\n')
    found = engine.etl("plan", "needy", "--env", "test", "--with", f"account={PLANTED}")
    assert "  setting sources.needy.account: found in command line\n" in found.out
    assert "  secret sources.needy.token: found in .dlt/secrets.toml\n" in found.out
    assert PLANTED not in missing.out + found.out + found.err


def test_the_requests_are_estimated_where_the_source_can(engine):
    engine.write("specs/needy.yaml", SPEC)
    engine.write("sources/needy.py", NEEDY)
    account = {"SOURCES__NEEDY__ACCOUNT": "mine"}
    for variables, fewest in (({}, None), (account, 7), ({**account, "SOURCES__NEEDY__PAGES": "9"}, 9)):
        assert of(plan(engine, "needy", **variables), "pages")["requests_at_least"] == fewest
    text = engine.etl("plan", "needy", "--env", "test", **account).out
    assert "  pages → pages: append, at least 7 requests\n" in text


def test_the_estimate_of_chess_is_what_a_second_run_asks(workspace, sandbox):
    made = workspace("chess")
    made.point_at(sandbox.settings("chess"))
    assert made.etl("run", "chess", "--env", "test").code == 0
    sandbox.forget_requests()
    expected = of(plan(made, "chess"), "games")["requests_at_least"]
    assert made.etl("run", "chess", "--env", "test", "--select", "games").code == 0
    assert len(sandbox.requests) == expected


def test_of_a_player_never_read_the_plan_of_chess_claims_no_more_than_it_knows(workspace, sandbox):
    made = workspace("chess")
    made.point_at(sandbox.settings("chess"))
    assert "  games → games: merge by uuid, at least 2 requests\n" in made.etl("plan", "chess", "--env", "test").out
    limited = plan(made, "chess", "--limit", "1")
    assert [each["requests_at_least"] for each in limited["resources"]] == [None] * 5


WINDOW = "[2024-02-01T00:00:00Z, 2024-02-10T00:00:00Z)"
IN_A_WINDOW = [
    ("toy", "things", f"changed in {WINDOW}"),
    ("toy", "others", "from the beginning, whatever the window"),
    ("github", "issues", f"updated_at in {WINDOW}"),
    ("github", "releases", "from the beginning, whatever the window"),
    ("chess", "games", "as the source takes the window"),
]


@pytest.mark.parametrize(("name", "resource", "cursor"), IN_A_WINDOW)
def test_a_cursor_is_shown_in_the_window(engine, sandbox, name, resource, cursor):
    engine.link(name)
    engine.point_at(sandbox.settings())
    assert of(plan(engine, name, "--since", "2024-02-01", "--until", "2024-02-10"), resource)["cursor"] == cursor


BARE = "name: parts\nabout: Tables of which a part would do harm.\npython: {}\n"
PARTS = f"""{BARE}
resources:
  logs: {{append_reason: a test}}
  states: {{write_disposition: replace}}
"""
PARTED = """\
import dlt


@dlt.source(name="parts", section="parts")
def parts():
    for name in ("logs", "states"):
        yield dlt.resource([{"id": 1}], name=name, primary_key="id", write_disposition="append")
    yield dlt.resource([{"id": 1}], name="visits", write_disposition="merge")
"""
REFUSED = [
    ("parts", PARTS + "dataset: warehouse\n", [], "warehouse.duckdb: DuckDB cannot tell the file from the dataset"),
    ("parts", BARE, [], "sources/parts: logs appends, so a repeated run doubles its rows"),
    ("parts", PARTS, ["--limit", "1", "--select", "logs"], "parts: logs appends, and the rows of this run would come"),
    ("parts", PARTS, ["--limit", "1", "--select", "states"], "parts: states is replaced whole, and this run would cut"),
    ("parts", PARTS, ["--limit", "1", "--select", "visits"], "parts: visits is merged without a key, which appends,"),
    (
        "toy",
        PARTS,
        ["--since", "2024-01-01", "--select", "others"],
        "toy: has no cursor, so --since and --until cannot",
    ),
]


@pytest.mark.parametrize(("name", "spec", "words", "said"), REFUSED)
def test_what_a_run_refuses_a_plan_refuses_with_the_same_words(engine, name, spec, words, said):
    engine.write("specs/parts.yaml", spec)
    engine.write("sources/parts.py", PARTED)
    ran, planned = (engine.etl(command, name, "--env", "test", *words) for command in ("run", "plan"))
    assert (ran.code, planned.code) == (2, 2), (ran, planned)
    assert ran.err == f"ERROR: {planned.err}"
    assert planned.err.startswith(said)
