"""What specs say of the people and devices in their tables: `subjects`, checked against the tables they write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines import build
from pipelines.errors import Problem, SpecError, UsageError, did_you_mean
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.specs.types import Subject, Subjects

KINDS = tuple(Subjects.model_fields)


def declaring(root: Path, kind: str, names: Sequence[str]) -> list[tuple[Spec, Subject]]:
    """The specs that say where a kind stands, of those named or of all; UsageError when there is none."""
    chosen = [specs.load(root, name) for name in dict.fromkeys(names)] or specs.load_all(root)
    found = [(spec, subject) for spec in chosen if (subject := _subject(spec, kind))]
    silent = [spec.name for spec in chosen if not _subject(spec, kind)]
    if names and silent:
        raise UsageError(f"{', '.join(silent)}: subjects say nothing of a {kind}; leave it out, or write them")
    if not found:
        raise UsageError(f"specs/: no subjects say where a {kind} stands; write them, see docs/spec.md")
    wrong = [problem for spec, _ in found for problem in problems(root, spec)]
    if wrong:
        raise SpecError(wrong)
    return found


def problems(root: Path, spec: Spec) -> Iterator[Problem]:
    """Columns of tables that the spec does not write, and objects of rows that are never deleted."""
    if not spec.subjects:
        return
    written = build.tables_of(root, spec)
    for kind, subject in spec.subjects:
        for key in Subject.model_fields if subject else ():
            for number, path in enumerate(getattr(subject, key)):
                wrong = _wrong_table(path, [table for _, table in written]) or _idle(subject, key, path)
                if wrong:
                    yield spec.problem(("subjects", kind, key, number), wrong)


def _subject(spec: Spec, kind: str) -> Subject | None:
    subject: Subject | None = getattr(spec.subjects, kind, None)
    return subject


def _wrong_table(path: str, tables: list[str]) -> str | None:
    table = path.split(".")[0]
    if not tables or any(table == known or table.startswith(f"{known}__") for known in tables):
        return None
    return f"no such table{did_you_mean(table, tables)}; the spec writes: {', '.join(tables)}"


def _idle(subject: Subject, key: str, path: str) -> str | None:
    named = {row.split(".")[0] for row in subject.rows}
    if key == "objects" and path.split(".")[0] not in named:
        return "rows names no column of this table, so that no object of it would ever be deleted"
    if key == "files" and path.split(".")[0] not in named:
        return "rows names no column of this table, so that no row of it would ever tell its file"
    if key == "known_by" and path not in subject.rows:
        return "rows does not name it, so that no row would ever be deleted by it"
    return None
