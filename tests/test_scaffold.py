"""`etl new NAME`: a spec, a source and a stand-in that are green as they are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.conformance import PROMISES, Promise
from tests.subject import Subject
from tests.workspace import REPOSITORY, Workspace

FILES = ["specs/orders.yaml", "sources/orders.py", "sandbox/orders.py"]
BAD_NAMES = [
    "", "9lives", "Orders", "two__bars", "_x", "x_", "with-dash", "with space", "ö", "class", "kit", "../x", "a" * 49,
]  # fmt: skip


@pytest.fixture(scope="module")
def orders(tmp_path_factory) -> Workspace:
    """A workspace where `etl new orders` has run."""
    made = Workspace(tmp_path_factory.mktemp("scaffold") / "a workspace")
    result = made.etl("new", "orders")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[:3] == [f"wrote {file}" for file in FILES]
    return made


@pytest.fixture(scope="module")
def subject(orders, tmp_path_factory) -> Iterator[Subject]:
    with Subject("orders", tmp_path_factory.mktemp("orders"), home=orders.root) as under_test:
        yield under_test


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_skeleton_keeps_its_promise(subject: Subject, promise: Promise):
    subject.reset()
    promise(subject)


def test_the_skeleton_is_valid_and_listed(orders):
    assert orders.etl("validate").out == "1 valid spec: orders\n"
    assert orders.etl("list", "--types").out == (
        "ORDERS\n  items  Pages of `{id, name, updated_at}` from `GET /items?since=&page=`.\n"
    )


@pytest.mark.parametrize("rule", [["check"], ["format", "--check"]], ids=["check", "format"])
def test_the_skeleton_keeps_the_house_rules(orders, rule):
    paths = [str(orders.root / file) for file in FILES if file.endswith(".py")]
    command = [sys.executable, "-m", "ruff", *rule, "--config", str(REPOSITORY / "pyproject.toml"), *paths]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(workspace, name):
    made = workspace()
    result = made.etl("new", "--", name)
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    taken = "the word is taken by Python or by the program"
    why = taken if name in ("class", "kit") else "a name is a-z, 0-9 and single _ between them, first a letter"
    assert f"etl new {name}: {why}" in result.err
    assert not any(made.root.rglob("*.py"))


@pytest.mark.parametrize("taken", [*FILES, "sources/orders/__init__.py"])
def test_a_name_that_is_taken_is_refused(workspace, taken):
    made = workspace()
    made.write(taken, "mine")
    result = made.etl("new", "orders")
    assert result.code == 2
    assert "is there already; choose another name" in result.err
    assert [path.relative_to(made.root).as_posix() for path in made.root.rglob("orders*") if path.is_file()] == (
        [taken] if taken in FILES else []
    )
    assert (made.root / taken).read_text() == "mine"
