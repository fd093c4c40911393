"""Read `models/<spec>/`: one SELECT per file, and `models.yaml` with what they mean and promise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from pipelines.errors import Problem, did_you_mean
from pipelines.queries import NotSql, Query, parse
from pipelines.specs import yaml_marks
from pipelines.specs.checks import Check
from pipelines.specs.messages import expected, read_as
from pipelines.specs.models import ModelsFile, ModelWords
from pipelines.specs.types import NAME
from pipelines.specs.yaml_marks import Document

FOLDER = "models"
FILE = "models.yaml"
NAMED = re.compile(r"\"(\w+)\"|'(\w+)\(|\b(?:column|function|name|found)\b:? (\w+)")  # as warehouses name things


@dataclass(frozen=True)
class Model:
    """One derived table or view; `words` is None where models.yaml says nothing of it."""

    name: str
    file: str
    text: str
    query: Query
    words: ModelWords | None

    @property
    def is_view(self) -> bool:
        return self.words is not None and self.words.materialized == "view"

    def place(self, said: str) -> str:
        """The first line, and `:` before it, that has what a warehouse speaks of; empty where it names nothing here."""
        words = [word for words in NAMED.findall(said) for word in words if word]
        found = (f":{at}" for word in words for at, line in enumerate(self.text.splitlines(), 1)
                 if re.search(rf"\b{word}\b", line, re.I))  # fmt: skip
        return next(found, "")

    def problem(self, message: str, line: int = 1, column: int = 1) -> Problem:
        """A mistake in its file."""
        return Problem(self.file, line, column, "", message)


@dataclass(frozen=True)
class Folder:
    """The models of a spec by name, their checks, and what is wrong with the files."""

    models: dict[str, Model] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    document: Document = field(default_factory=lambda: Document(FILE, {}, {}, []))
    problems: list[Problem] = field(default_factory=list)


def names(root: Path) -> list[str]:
    """The specs that have a folder of models, right or wrong."""
    return sorted(path.name for path in (root / FOLDER).glob("*/") if path.is_dir() and path.name[0] not in "._")


def read(root: Path, spec: str) -> Folder:
    """The folder of a spec; an absent one is empty."""
    home = root / FOLDER / spec
    document = _document(home / FILE, f"{FOLDER}/{spec}/{FILE}")
    said, problems = _said(document)
    words = said.models if said else {}
    models = {}
    for path in sorted(home.glob("*.sql")):
        found = _model(path, f"{FOLDER}/{spec}/{path.name}", words.get(path.stem))
        if isinstance(found, Problem):
            problems.append(found)
        else:
            models[found.name] = found
    if said:
        problems += _unmatched(document, said, home, models)
    return Folder(models, said.checks if said else [], document, problems)


def in_order(needs: Mapping[str, list[str]]) -> tuple[list[str], list[str]]:
    """The models, each after those it reads, and a circle of them if there is one."""
    try:
        return list(TopologicalSorter(needs).static_order()), []
    except CycleError as error:
        return [], list(reversed(error.args[1]))


def _document(path: Path, shown: str) -> Document:
    return yaml_marks.read(path, shown) if path.exists() else Document(shown, {}, {}, [])


def _said(document: Document) -> tuple[ModelsFile | None, list[Problem]]:
    if not isinstance(document.data, dict):
        return None, document.problems or [document.problem((), expected("a mapping of keys", document.data))]
    said, wrong = read_as(ModelsFile, document)
    return said, [*document.problems, *wrong]


def _model(path: Path, shown: str, words: ModelWords | None) -> Model | Problem:
    if not re.fullmatch(NAME, path.stem):
        return Problem(shown, 1, 1, "", "name it with a-z, 0-9 and single _ between them; the table is named so")
    try:
        text = path.read_text(encoding="utf-8")
        return Model(path.stem, shown, text, parse(text), words)
    except NotSql as wrong:
        return Problem(shown, wrong.line, wrong.column, "", wrong.message)
    except (OSError, UnicodeDecodeError):
        return Problem(shown, 1, 1, "", "cannot be read; save it as UTF-8 text")


def _unmatched(document: Document, said: ModelsFile, home: Path, models: dict[str, Model]) -> Iterator[Problem]:
    """What models.yaml says of models and of columns that are not there."""
    for name, words in said.models.items():
        if not (home / f"{name}.sql").exists():
            near = did_you_mean(name, sorted(models))
            yield document.problem(("models", name), f"there is no {name}.sql beside this file{near}", "key")
        columns = models[name].query.columns if name in models else None
        for column in words.columns:
            if columns is not None and column not in columns:
                near = did_you_mean(column, columns)
                yield document.problem(("models", name, "columns", column), f"no such column of the model{near}", "key")
