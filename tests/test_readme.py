"""The README says only what is so: its tables are generated, its specs validate, its commands parse."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main

import cli
from pipelines.program import hoist
from pipelines.specs import spec as specs
from tests.readme import README, rendered

TEXT = README.read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.S)
    for line in block.splitlines()
    if ".venv/bin/etl" in line
]


def test_the_tables_are_current():
    assert rendered(TEXT) == TEXT, "run make docs"


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 4


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_parses(line):
    words = hoist(shlex.split(line)[1:])
    group = typer.main.get_command(cli.app)
    with group.make_context("etl", list(words), resilient_parsing=False) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        while hasattr(command, "commands"):
            context = command.make_context(name, rest, parent=context)
            rest = [*context._protected_args, *context.args]
            if command.invoke_without_command and not rest:
                return
            name, command, rest = command.resolve_command(context, rest)
        command.make_context(name, rest, parent=context)


def test_the_spec_in_it_is_valid(workspace):
    block = re.search(r"```yaml\n(.*?)```", TEXT, re.S)
    assert block
    made = workspace("chess")
    (made.root / "specs/chess.yaml").unlink()
    made.write("specs/chess.yaml", block[1])
    assert specs.validate(made.root, ["chess"]) == []


def test_every_file_it_links_to_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (README.parent / target).exists(), target
