"""The command line: every command, every option, and what it prints where."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
import typer
from filelock import FileLock

import cli
from pipelines.commands import begin
from tests import killed
from tests.toys import rows, toy
from tests.workspace import DESTINATIONS, REPOSITORY, Workspace

TREE = typer.main.get_command(cli.app)
THIRD = """
import dlt

@dlt.source
def third():
    return dlt.resource([{"id": 1}], name="only", write_disposition="replace")
"""
HOSTILE = "Zürich – 東京 😀"


def commands(command: Any = TREE, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words."""
    for name, child in getattr(command, "commands", {}).items():
        yield (*path, name), child
        yield from commands(child, (*path, name))


NAMES = [path for path, _ in commands()]
RUN_OPTIONS = [option for given in TREE.commands["run"].params for option in given.opts if option.startswith("--")]


@pytest.fixture
def engine(workspace):
    """A workspace with a toy of ten rows."""
    made = workspace()
    toy(made, rows(10))
    return made


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three specs, two of which have the same resources."""
    made = Workspace(tmp_path_factory.mktemp("three") / "work space")
    toy(made, rows(1))
    toy(made, rows(1), name="second")
    made.source("third", THIRD)
    made.write("models/toy/few.sql", "SELECT things.id FROM things JOIN others USING (id)")
    return made


def tables(workspace: Workspace, *arguments: str, **variables: str) -> dict[str, int]:
    """Rows per table of a run that went well."""
    result = workspace.etl("run", "toy", "--env", "test", "--output", "json", *arguments, **variables)
    assert result.code == 0, result.err
    found: dict[str, int] = result.json[0]["tables"]
    return found


@pytest.mark.parametrize("path", NAMES, ids=" ".join)
def test_every_command_has_help(workspace, path):
    result = workspace().etl(*path, "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: etl {' '.join(path)}")


@pytest.mark.parametrize(("path", "command"), list(commands()), ids=[" ".join(path) for path in NAMES])
def test_every_command_and_option_is_documented_in_a_line(path, command):
    assert re.fullmatch(r"[A-Z][^\n]+\.", command.help or ""), path
    undocumented = [p.name for p in command.params if p.param_type_name == "option" and p.name != "help" and not p.help]
    assert undocumented == []


@pytest.mark.parametrize("option", RUN_OPTIONS)
def test_every_option_of_run_is_used_in_a_test(option):
    names = ("test_cli.py", "test_run.py", "test_told.py", "test_files_run.py")
    texts = [(REPOSITORY / "tests" / name).read_text() for name in names]
    assert any(f'"{option}"' in text for text in texts)


def test_version(engine):
    assert engine.etl("--version").out == f"{version('etl')}\n"
    assert engine.etl("list", "--version").out == f"{version('etl')}\n"


@pytest.mark.parametrize("words", [["state"], ["quarantine"]])
def test_without_a_command_help_is_shown(engine, words):
    result = engine.etl(*words)
    assert (result.code, result.out) == (2, "")
    assert "Usage: etl" in result.err


MISUSE = [
    ([], "etl: missing command; see etl --help"),
    (["rnu"], "etl: no such command 'rnu'. Did you mean 'run'?; see etl --help"),
    (["run", "--limt", "3"], "etl run: no such option: --limt"),
    (["run", "toy", "--limit", "x"], "etl run: invalid value for '--limit'"),
    (["run", "toy", "--env"], "option '--env' requires an argument"),
    (["state", "reset"], "etl state reset: missing argument 'NAME'; see etl state reset --help"),
    (["list", "extra"], "etl list: got unexpected extra argument(s) (extra)"),
    (["run", "toi"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["plan", "toi"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["validate", "toi"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["status", "toi", "--env", "test"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["state", "show", "toi", "--env", "test"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["quarantine", "replay", "toi", "--env", "test"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["run", "--service", "toi"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["run", "--env", "test"], "name a spec, or give --all; known: toy"),
    (["run", "toy", "--all"], "--all: leave it out, or leave out the names"),
    (["run", "toy", "--env", "test", "--select", "thngs"], "toy: no resource 'thngs' (did you mean 'things'?)"),
    (["run", "toy", "--env", "test", "--exclude", "x*"], "toy: no resource 'x*'; it has: others, things"),
    (["run", "toy", "--env", "test", "--exclude", "*"], "toy: nothing is left after --select and --exclude"),
    (["plan", "toy", "--env", "test", "--select", "thngs"], "toy: no resource 'thngs' (did you mean 'things'?)"),
    (
        ["state", "reset", "toy", "--env", "test", "--resource", "thngs"],
        "toy: no resource 'thngs' (did you mean 'things'?); it has: things, others",
    ),
    (["run", "toy", "--mode", "icnr"], "--mode icnr: must be one of incr, backfill, dry (did you mean 'incr'?)"),
    (["run", "toy", "--output", "jsn"], "--output jsn: must be one of text, json (did you mean 'json'?)"),
    (["--log-format", "jsn", "list"], "--log-format jsn: must be one of text, json (did you mean 'json'?)"),
    (["list", "--log-level", "loud"], "--log-level loud: must be one of debug, info, warning, error"),
    (["run", "toy", "--env", "test", "--since", "tomorrow"], "--since 'tomorrow': not a date or an ISO 8601 time"),
    (["run", "toy", "--env", "test", "--days", "-1"], "--days -1: give 0 or more, and no --since beside it"),
    (["plan", "toy", "--env", "test", "--days", "1", "--since", "2024-01-01"], "--days 1: give 0 or more, and no --s"),
    (["run", "toy", "--env", "test", "--limit", "0"], "--limit 0: must be at least 1"),
    (["sandbox", "--port", "99999"], "'--port': Input should be less than or equal to 65535; see etl sandbox --help"),
    (["run", "toy", "--env", "test", "--max-retry", "-1"], "--max-retry -1: must be 0 or more"),
    (["run", "toy", "--env", "test", "--run-id", "a/b"], "--run-id a/b: names one run of one spec"),
    (["run", "toy", "--env", "test", "--run-id", "a\n"], r"--run-id a\n: names one run of one spec"),
    (["run", "toy", "--env", "a\nb\x1b[1m"], r"no [a\nb\x1b[1m]; it has: test"),
    (["quarantine", "list", "--env", "test", "--limit", "-1"], "--limit -1: must be at least 1"),
    (["run", "toy", "--env", "test", "--full-refresh", "--limit", "3"], "--full-refresh replaces whole tables"),
    (["run", "toy", "--env", "test", "--wait", "soon"], "--wait soon: write a time such as 90s, 10m or 1h"),
    (["run", "toy", "--env", "test", "--with", "rows_file"], "--with rows_file: write key=value"),
    (["fetch", "toy", "--env", "test", "--to", "gs:/b"], "--to gs:/b: is neither a folder nor a bucket; write two"),
    (["fetch", "toy", "--env", "test", "--to", ""], "--to: is empty; name a folder or a bucket, or leave it out"),
    (["rebuild", "--service", "toi"], "no spec named 'toi' (did you mean 'toy'?); known: toy"),
    (["schema", "--write", "--check"], "--write and --check: give one of them"),
    (["quarantine", "show", "abc", "--env", "test"], "abc: no row with that id; see: etl quarantine list"),
    (["quarantine", "drop", "toy", "--env", "test"], "add --yes to confirm"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), MISUSE, ids=[" ".join(words) for words, _ in MISUSE])
def test_misuse_is_one_line_and_exit_2(engine, words, said):
    result = engine.etl(*words)
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert said in result.err


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--select", "things"], ["things"]),
        (["-s", "th*"], ["things"]),
        (["--select", "things,others"], ["others", "things"]),
        (["--select", "things", "--select", "others"], ["others", "things"]),
        (["--data-types", "others"], ["others"]),
        (["--exclude", "oth*"], ["things"]),
        (["--select", "*", "--exclude", "things"], ["others"]),
        ([], ["others", "things"]),
    ],
)
def test_select_and_exclude(engine, arguments, loaded):
    (planned,) = engine.etl("run", "toy", "--env", "test", "--dry-run", "--output", "json", *arguments).json
    assert sorted(resource["name"] for resource in planned["resources"]) == loaded


def test_what_is_selected_is_loaded(engine):
    assert tables(engine, "--data-types", "th*", "--exclude", "others") == {"things": 10}
    assert tables(engine, "--exclude", "things") == {"others": 1}


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (["toy"], ["toy"]),
        (["toy", "second"], ["toy", "second"]),
        (["toy", "toy"], ["toy"]),
        (["toy,second"], ["toy", "second"]),
        (["--service", "second,toy"], ["second", "toy"]),
        (["toy", "--service", "second"], ["toy", "second"]),
        (["--all"], ["second", "toy"]),
    ],
)
def test_which_specs_run(engine, arguments, ran):
    toy(engine, rows(1), name="second")
    result = engine.etl("run", *arguments, "--env", "test", "--dry-run", "--output", "json")
    assert [planned["spec"] for planned in result.json] == ran


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (["--select", "only"], {"third": ["only"]}),
        (["--select", "on*"], {"third": ["only"]}),
        (["--select", "only,thi*"], {"second": ["things"], "third": ["only"], "toy": ["things"]}),
        (["toy", "third", "--select", "only,things"], {"toy": ["things"], "third": ["only"]}),
        (["toy", "third", "--select", "only"], {"third": ["only"]}),
        (["--all", "--select", "others"], {"second": ["others"], "toy": ["others"]}),
        (["--all", "--exclude", "things,o*"], "second: nothing is left after --select and --exclude"),
        (["toy", "third", "--exclude", "others"], {"toy": ["things"], "third": ["only"]}),
        (["--select", "things"], "--select things: second and toy have it; name one of them"),
        (["--select", "few"], "--select few: is a model of toy, made of others, things; select these"),
        (["toy", "--select", "few"], "--select few: is a model of toy, made of others, things; select these"),
        (["--select", "ony"], "--select ony: no such resource in second, third, toy (did you mean 'only'?)"),
        (
            ["toy", "second", "--select", "only"],
            "--select only: no such resource in toy, second; see: etl list --types",
        ),
        (["toy", "--select", "only"], "--select only: toy has no such resource; name the spec: third"),
        (["toy", "second", "--exclude", "only"], "--exclude only: no such resource in toy, second"),
    ],
    ids=str,
)
def test_what_is_selected_finds_its_specs(three, arguments, ran):
    result = three.etl("run", *arguments, "--env", "test", "--dry-run", "--output", "json")
    if isinstance(ran, str):
        assert (result.code, ran in result.err) == (2, True), result.err
    else:
        found = {planned["spec"]: [r["name"] for r in planned["resources"]] for planned in result.json}
        assert (found, list(found)) == (ran, list(ran))


def test_all_specs_run(engine):
    toy(engine, rows(1), name="second")
    result = engine.etl("run", "--all", "--env", "test", "--output", "json")
    assert [(report["spec"], report["status"]) for report in result.json] == [("second", "ok"), ("toy", "ok")]


def test_the_environment_may_come_from_a_variable(engine):
    assert engine.etl("run", "toy", ETL_ENV="test").code == 0
    assert engine.etl("run", "toy", "-e", "test", ETL_ENV="nope").code == 0
    assert engine.etl("run", "toy", ETL_ENV="nope").code == 2


def test_a_window_and_a_limit_act(engine):
    assert tables(engine, "-s", "things", "--since", "2024-01-01T00:03", "--until", "2024-01-01T00:06") == {"things": 3}
    assert tables(engine, "-s", "things", "--days", "3") == {}
    assert tables(engine, "-s", "things", "--limit", "2") == {"things": 2}


def test_days_are_counted_from_when_the_runs_of_an_environment_ask():
    assert begin(REPOSITORY, "demo", None, 2) == "2024-02-28"  # in the sandbox it is the first of March
    assert begin(REPOSITORY, "demo", "2024-01-01", None) == "2024-01-01"


def test_mode_and_dry_run_act(engine):
    assert tables(engine, "-s", "things") == {"things": 10}
    assert tables(engine, "-s", "things", "--mode", "incr") == {}
    assert tables(engine, "-s", "things", "--mode", "backfill") == {"things": 10}
    for dry in (["--dry-run"], ["-n"], ["--mode", "dry"]):
        assert "toy → toy in test" in engine.etl("run", "toy", "--env", "test", *dry).out


def test_full_refresh_and_yes_act(engine):
    engine.write("destinations.toml", DESTINATIONS.replace("[test]\n", "[test]\nprotected = true\n"))
    assert tables(engine, "-s", "things") == {"things": 10}
    toy(engine, rows(4))
    assert engine.etl("run", "toy", "--env", "test", "--full-refresh").code == 2
    assert tables(engine, "--full-refresh", "--yes") == {"things": 4, "others": 1}


def test_a_run_id_names_the_run(engine):
    result = engine.etl("run", "toy", "--env", "test", "--run-id", "nightly.1", "--output", "json")
    assert result.json[0]["run_id"] == "nightly.1"
    assert (engine.root / "runs/nightly.1/success.ok").exists()


@pytest.mark.parametrize("retries", [0, 2])
def test_max_retry_is_counted_at_the_upstream(workspace, sandbox, retries):
    made = workspace("chess")
    made.point_at(sandbox.settings("chess"))
    sandbox.fault("/chess/", "500", times=100)
    result = made.etl(
        "run", "chess", "--env", "test", "--select", "player_profile", "--max-retry", str(retries),
        SOURCES__CHESS__HTTP__BACKOFF_SECONDS="0", SOURCES__CHESS__HTTP__BACKOFF_CAP_SECONDS="0",
    )  # fmt: skip
    assert result.code == 5, result.err
    assert len(sandbox.requests) == retries + 1


def test_fail_fast_stops_at_the_first_that_is_not_ok(engine):
    toy(engine, rows(2), name="zebra")
    toy(engine, [{"id": None}])
    both = engine.etl("run", "toy", "zebra", "--env", "test", "--output", "json")
    one = engine.etl("run", "toy", "zebra", "--env", "test", "--output", "json", "--fail-fast")
    assert (both.code, one.code) == (3, 3)
    assert [len(both.json), len(one.json)] == [2, 1]


def test_wait_outlasts_another_run(engine):
    with FileLock(engine.root / "warehouse.duckdb.lock"):
        assert engine.etl("run", "toy", "--env", "test").code == 7
        assert engine.etl("run", "toy", "--env", "test", "--wait", "0.1s").code == 7
        waiting = killed.start(engine, "run", "toy", "--env", "test", "--wait", "2m", "--run-id", "patient")
        waiting.until((engine.root / "runs/patient/manifest.json").exists)
    ended = waiting.ended()
    assert (ended.code, ended.err) == (0, ""), ended


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2m ", 120), (None, 0)]
)
def test_times_to_wait(text, seconds):
    from pipelines.commands import seconds as read

    assert read(text) == seconds


def test_with_gives_an_argument_to_the_source(engine):
    other = engine.write("other.json", json.dumps(rows(2)))
    assert tables(engine, "-s", "things", "--with", f"rows_file={other}", "--with", "page_rows=1") == {"things": 2}


JSON = [
    ["run", "toy"], ["run", "toy", "--dry-run"], ["plan", "toy"], ["plan"], ["doctor"], ["status"],
    ["state", "show", "toy"], ["quarantine", "list"], ["quarantine", "replay", "toy"],
]  # fmt: skip


def test_json_is_all_there_is_on_stdout(engine):
    toy(engine, [*rows(3), {"id": None}])
    for words in JSON:
        result = engine.etl(*words, "--env", "test", "--output", "json")
        assert result.json, words


def test_state_show_in_text(engine):
    tables(engine)
    assert "toy.things: {" in engine.etl("state", "show", "toy", "--env", "test", "--output", "text").out


def test_options_of_every_command_stand_before_and_after_it(engine):
    before = engine.etl("--log-format", "json", "--log-level=info", "run", "toy", "--env", "test")
    after = engine.etl("run", "toy", "--log-format=json", "--env", "test", "--log-level", "info")
    for result in (before, after):
        (line,) = map(json.loads, result.err.splitlines())
        assert line["level"] == "info"
        assert (line["pipeline"], line["env"]) == ("toy", "test")
        assert line["event"].startswith("toy: ok, ")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])


def test_two_dashes_end_the_options(engine):
    assert "no spec named '--debug'" in engine.etl("validate", "--", "--debug").err


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", ["DEBUG", "INFO", "ERROR"]), ("info", ["INFO", "ERROR"]), ("warning", ["ERROR"]), ("error", ["ERROR"])],
)
def test_log_levels(engine, level, shown):
    (engine.root / "toy.json").write_text("[{")
    result = engine.etl("run", "toy", "--env", "test", "--log-level", level)
    assert sorted({line.split(":")[0] for line in result.err.splitlines()}) == sorted(shown)


NOISY = """\
import logging, warnings

import dlt


@dlt.source(name="noisy", section="noisy")
def noisy():
    logging.getLogger("a.library").warning("a library warns")
    warnings.warn("python warns")
    yield dlt.resource([{"id": 1}], name="rows", write_disposition="replace")
"""


def test_libraries_are_heard_at_level_debug_only(engine):
    engine.source("noisy", NOISY)
    assert killed.run(engine, "list", "--types").err == ""
    heard = killed.run(engine, "list", "--types", "--log-level", "debug").err
    assert "a library warns" in heard
    assert "python warns" in heard


def test_debug_shows_a_trace(engine):
    (engine.root / "toy.json").write_text("[{")
    quiet = engine.etl("run", "toy", "--env", "test")
    loud = engine.etl("run", "toy", "--env", "test", "--debug")
    assert (len(quiet.err.splitlines()), "Traceback" in quiet.err) == (1, False)
    assert "Traceback (most recent call last)" in loud.err
    assert "Traceback" in engine.etl("--debug", "run", "toi").err
    assert "Traceback" in engine.etl("run", "toi", ETL_DEBUG="1").err


def test_errors_are_json_lines_where_the_log_is(engine):
    (engine.root / "toy.json").write_text("[{")
    failed = engine.etl("run", "toy", "--env", "test", "--log-format", "json")
    unknown = engine.etl("run", "toi", ETL_LOG_FORMAT="json")
    (line,) = map(json.loads, failed.err.splitlines())
    assert (line["level"], line["pipeline"]) == ("error", "toy")
    (line,) = map(json.loads, unknown.err.splitlines())
    assert line["event"].startswith("no spec named 'toi'")


def test_list(engine):
    engine.link("github")
    text = engine.etl("list").out.splitlines()
    assert text[0].split() == ["spec", "kind", "schedule", "about"]
    assert [line.split()[:2] for line in text[1:]] == [["github", "rest"], ["toy", "python"]]
    listed = engine.etl("list", "--output", "json").json
    assert [(spec["name"], spec["kind"], spec["dataset"]) for spec in listed] == [
        ("github", "rest", "github"), ("toy", "python", "toy"),
    ]  # fmt: skip
    types = engine.etl("list", "--types").out.splitlines()
    assert types == ["GITHUB", "  releases  GET releases", "  issues    GET issues", "TOY", "  things", "  others"]
    documents = engine.etl("list", "--types", "--output", "json").json
    assert [spec["resources"] for spec in documents] == [["releases", "issues"], ["things", "others"]]
    assert documents[0]["types"] == {"releases": "GET releases", "issues": "GET issues"}


def test_a_wrong_spec_hides_no_other(engine):
    engine.write("specs/bad.yaml", "name: bad\nabout: No source.\n")
    listed, types, json_ = (engine.etl("list", *words) for words in ([], ["--types"], ["--output", "json"]))
    assert {(each.code, each.err.split(":")[0]) for each in (listed, types, json_)} == {(2, "specs/bad.yaml")}
    assert [line.split() for line in listed.out.splitlines()[1:]] == [
        ["bad", "-", "-", "wrong;", "see:", "etl", "validate", "bad"],
        ["toy", "python", "-", "A", "source", "for", "tests."],
    ]
    assert types.out.splitlines() == ["BAD", "  wrong; see: etl validate bad", "TOY", "  things", "  others"]
    assert [spec["name"] for spec in json_.json] == ["toy"]


def test_an_empty_workspace_lists_nothing(workspace):
    empty = workspace()
    assert empty.etl("list", "--output", "json").json == []
    nothing = empty.etl("run", "--all", "--env", "test")
    assert (nothing.code, nothing.err) == (2, "specs/: there are no specs; write one with: etl new NAME\n")


def test_validate(engine):
    assert engine.etl("validate").out == "1 valid spec: toy\n"
    assert engine.etl("validate", "toy", "--output", "json").json == []
    engine.write("specs/toy.yaml", "name: toi\nabout: x\npython: {rows_fle: a}\nresorces: {}\n")
    result = engine.etl("validate")
    assert (result.code, result.err) == (2, "")
    assert [line.split(": ")[0] for line in result.out.splitlines()] == [
        "specs/toy.yaml:1:7", "specs/toy.yaml:3:10", "specs/toy.yaml:4:1",
    ]  # fmt: skip
    problems = engine.etl("validate", "--output", "json").json
    assert [problem["line"] for problem in problems] == [1, 3, 4]


def test_problems_are_annotations_under_github(engine):
    engine.write("specs/toy.yaml", "name: toy\nabout: x\npython: {}\nresorces: {}\n")
    for words in (["validate"], ["validate", "--output", "json"], ["run", "toy", "--env", "test"]):
        result = engine.etl(*words, GITHUB_ACTIONS="true")
        assert "::error file=specs/toy.yaml,line=4,col=1::resorces: " in result.err
        assert "::error" not in result.out + engine.etl(*words).err


def test_schema(engine):
    printed = engine.etl("schema")
    assert printed.json["properties"]["name"]
    assert engine.etl("schema", "--check").code == 1
    assert engine.etl("schema", "--write").code == 0
    assert engine.etl("schema", "--check").code == 0
    assert json.loads((engine.root / "specs/spec.schema.json").read_text()) == printed.json
    (engine.root / "docs/spec.md").write_text("old")
    stale = engine.etl("schema", "--check")
    assert (stale.code, "is stale; run etl schema --write" in stale.err) == (1, True)


ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("console", ASCII, ids=["PYTHONIOENCODING", "LC_ALL"])
def test_json_survives_a_console_that_is_not_utf_8(engine, console):
    engine.write("specs/toy.yaml", f"name: toy\nabout: {HOSTILE}\npython: {{}}\n")
    listed = engine.run("list", "--output", "json", **console)
    assert (listed.json[0]["about"], listed.err) == (HOSTILE, "")


def test_a_console_that_is_not_utf_8_crashes_nothing(engine):
    console = ASCII[1]
    plan = engine.run("plan", "toy", "--env", "test", **console)
    assert (plan.code, plan.err) == (0, "")
    assert "things \\u2192 things" in plan.out
    engine.write("destinations.toml", DESTINATIONS.replace("[test]\n", f'[test]\n"{HOSTILE}" = 1\n'))
    failed = engine.run("run", "toy", "--env", "test", "--log-format", "json", **console)
    assert failed.code == 2
    assert f"test.{HOSTILE}: unknown key" in json.loads(failed.err)["event"]


@pytest.mark.parametrize("words", [["schema"], ["list"]])
def test_a_reader_that_goes_away_is_no_error(engine, words):
    process = engine.spawn(*words)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), err) == (1, "")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_progress_is_shown_on_a_terminal(engine, variables, coloured):
    """With stderr on a terminal; stdout has the report and nothing else."""
    toy(engine, rows(40))
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cli", "--root", str(engine.root), "run", "toy", "--env", "test"],
            cwd=REPOSITORY, env={**os.environ, **engine.variables, "TERM": "xterm-256color", **variables},
            stdout=subprocess.PIPE, stderr=theirs, text=True, check=True,
        )  # fmt: skip
    finally:
        os.close(theirs)
    shown = read_all(ours)
    assert re.search("Extract|Normalize|Load", shown), "what it does, as often as the terminal is drawn"
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)) is coloured
    assert done.stdout.splitlines()[-1].startswith("toy: ok, 41 rows")
    assert "\x1b" not in done.stdout


def read_all(terminal: int) -> str:
    """What was written to the other end of a terminal that is closed by now."""
    found = b""
    while True:
        try:
            some = os.read(terminal, 65536)
        except OSError:
            some = b""
        if not some:
            os.close(terminal)
            return found.decode(errors="replace")
        found += some


STARTS = """\
import sys
import cli
try:
    cli.main(sys.argv[2:])
except SystemExit:
    print([name for name in sys.argv[1].split(",") if name in sys.modules])
"""


@pytest.mark.parametrize(("words", "heavy"), [(["--help"], "dlt,pydantic,yaml,rich"), (["list"], "dlt,duckdb,pyarrow")])
def test_the_program_starts_light(words, heavy):
    """What `etl --help` and `etl list` import is what they cost."""
    command = [sys.executable, "-c", STARTS, heavy, *words]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
