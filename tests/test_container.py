"""A container by variables: each acts, a wrong one ends with 2 and a line, and what is made is a command of `etl`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from pipelines.deploy.container import command
from pipelines.errors import UsageError
from tests.toys import rows, toy
from tests.workspace import REPOSITORY, Workspace

TOY = {"SERVICE": "toy", "ENV": "test"}
FETCH = {"MODE": "fetch", **TOY}
INGEST = {"MODE": "ingest", **TOY}
RUN = {"MODE": "run", **TOY}
COMMANDS = [
    ({}, "list --types"),
    ({"MODE": "", "SERVICE": " "}, "list --types"),
    (TOY, "fetch toy --env test"),
    (INGEST, "ingest toy --env test"),
    ({**RUN, "MODE": "RUN"}, "run toy --env test"),
    ({**INGEST, "SERVICE": "toy, second"}, "ingest toy second --env test"),
    ({**FETCH, "SCOPE": "things,others"}, "fetch toy --select things,others --env test"),
    ({**INGEST, "DATA_TYPES": "things"}, "ingest toy --select things --env test"),
    ({"MODE": "run", "DATA_TYPES": "thin*", "ENV": "test"}, "run --select thin* --env test"),
    ({**FETCH, "DAYS": "3", "LIMIT": "2"}, "fetch toy --limit 2 --days 3 --env test"),
    ({"SERVICE": "toy", "DESTINATION": "gs://b/raw"}, "fetch toy --to gs://b/raw"),
    ({**INGEST, "DRY_RUN": "true"}, "ingest toy --env test --dry-run"),
    ({**RUN, "DRY_RUN": "1", "LIMIT": "2"}, "run toy --limit 2 --env test --dry-run"),
    ({**INGEST, "DRY_RUN": "false"}, "ingest toy --env test"),
    ({**FETCH, "DRY_RUN": "false"}, "fetch toy --env test"),
    ({**RUN, "LOG_LEVEL": "INFO"}, "run toy --env test --log-level info"),
]
MISTAKES = [
    ({**TOY, "MODE": "fecth"}, "MODE=fecth: must be one of fetch, ingest, run (did you mean 'fetch'?)"),
    ({**TOY, "MODE": "dbt"}, "MODE=dbt: must be one of fetch, ingest, run"),
    ({"MODE": "ingest", "ENV": "test"}, "SERVICE: is not set; name what to ingest"),
    ({"MODE": "ingest", "SERVICE": "toy"}, "ENV: is not set; name an environment"),
    ({**INGEST, "DAYS": "3"}, "DAYS: does nothing where MODE is ingest; leave it out"),
    ({**INGEST, "LIMIT": "3"}, "LIMIT: does nothing where MODE is ingest; leave it out"),
    ({**RUN, "DESTINATION": "x"}, "DESTINATION: does nothing where MODE is run; leave it out"),
    ({**FETCH, "DRY_RUN": "true"}, "DRY_RUN: does nothing where MODE is fetch; leave it out"),
    ({**INGEST, "DRY_RUN": "maybe"}, "DRY_RUN=maybe: must be true or false"),
    ({**FETCH, "SCOPE": "--yes"}, "SCOPE=--yes: must be names, with commas between them"),
    ({**RUN, "SERVICE": "toy,--full-refresh"}, "SERVICE=toy,--full-refresh: must be names"),
    ({**RUN, "SERVICE": "toy,-h"}, "SERVICE=toy,-h: must be names"),
    ({**RUN, "SERVICE": ","}, "SERVICE=,: must be names"),
    ({**RUN, "DATA_TYPES": " ,, "}, "DATA_TYPES=,,: must be names"),
    ({**FETCH, "DESTINATION": " "}, "DESTINATION: is empty"),
    ({**FETCH, "DAYS": "three"}, "DAYS=three: must be a whole number"),
    ({**FETCH, "LIMIT": "-1"}, "LIMIT=-1: must be a whole number"),
    ({**RUN, "LOG_LEVEL": "TRACE"}, "LOG_LEVEL=TRACE: must be one of debug, info, warning, error"),
    ({**FETCH, "SCOPE": "a", "DATA_TYPES": "b"}, "SCOPE and DATA_TYPES: name the same thing; give one of them"),
]
MISTAKES_OF_ETL = [
    ({**RUN, "SERVICE": "toi"}, "no spec named 'toi' (did you mean 'toy'?)"),
    ({**RUN, "ENV": "tset"}, "no [tset]"),
    ({**INGEST, "DATA_TYPES": "thngs"}, "no resource 'thngs' (did you mean 'things'?)"),
    ({**FETCH, "LIMIT": "0"}, "--limit 0: must be at least 1"),
]


@pytest.mark.parametrize(("variables", "words"), COMMANDS, ids=str)
def test_variables_make_a_command(variables, words):
    assert command({"PATH": "/bin", **variables}) == words.split()


@pytest.mark.parametrize(("variables", "said"), MISTAKES, ids=str)
def test_what_cannot_be_meant_is_refused(variables, said):
    with pytest.raises(UsageError) as refused:
        command(variables)
    assert said in str(refused.value)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    made = Workspace(tmp_path_factory.mktemp("container") / "work space")
    toy(made, rows(10))
    return made


@pytest.mark.parametrize(("variables", "said"), MISTAKES_OF_ETL, ids=str)
def test_a_wrong_value_is_one_line_and_exit_2(engine, variables, said):
    result = engine.etl(*command(variables))
    assert (result.code, len(result.err.splitlines()), said in result.err) == (2, 1, True), result.err


def test_a_container_fetches_and_ingests(engine):
    """As a process of its own, as an image starts it; the last command is given, not made."""

    def container(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "pipelines.deploy.container", *arguments]
        everything = {**os.environ, **engine.variables, "ETL_ROOT": str(engine.root), **variables}
        return subprocess.run(words, cwd=REPOSITORY, env=everything, capture_output=True, text=True, check=False)

    fetched = container(SERVICE="toy", SCOPE="things", LIMIT="4", ENV="test", LOG_LEVEL="INFO")
    assert (fetched.returncode, "INFO" in fetched.stderr) == (0, True), fetched.stderr
    assert engine.etl(*command({**INGEST, "DATA_TYPES": "things"})).code == 0
    assert engine.query("SELECT count(*) FROM toy.things") == [(4,)]
    wrong = container(MODE="fecth", SERVICE="toy")
    assert (wrong.returncode, len(wrong.stderr.splitlines()), wrong.stdout) == (2, 1, "")
    assert container("--version", MODE="fecth").stdout == f"{version('etl')}\n"
