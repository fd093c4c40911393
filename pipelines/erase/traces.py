"""The folders of a spec's runs: lines about the value go with their audio, elsewhere it is overwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pipelines.atomic import write_json, write_text
from pipelines.erase.scope import Counts, Scope

PLACE = "files in runs/"
LINES = ".jsonl"
READABLE = (".json", LINES, ".ok", "")


def erase(scope: Scope) -> Counts:
    """Overwrite the value in what runs of the spec left."""
    holding = [file for file in _files(scope) if scope.sought.stands_in(_text(file))]
    for file in holding if scope.act else ():
        _overwrite(scope, file)
    return {PLACE: len(holding)} if holding else {}


def _files(scope: Scope) -> Iterator[Path]:
    """The files of every run of the spec; of a run that nobody can name, too."""
    for folder in sorted(scope.environment.runs_dir.glob("*/")):
        said = _document(folder / "manifest.json") or {}
        mine = (scope.spec.name, scope.environment.name)
        if (said.get("spec", mine[0]), said.get("environment", mine[1])) == mine:
            yield from (file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix in READABLE)


def _overwrite(scope: Scope, file: Path) -> None:
    content = _document(file)
    if file.suffix == LINES:
        write_text(file, "".join(_others(scope, file)))
    elif content is None:
        write_text(file, scope.sought.scrubbed(_text(file)))
    else:
        write_json(file, scope.sought.scrubbed_document(content))


def _others(scope: Scope, file: Path) -> Iterator[str]:
    """The lines that are about others; the audio of the rest is deleted."""
    for line in _text(file).splitlines(keepends=True):
        if not scope.sought.stands_in(line):
            yield line
        elif audio := json.loads(line).get("audio"):
            (file.parent / audio).unlink(missing_ok=True)


def _document(file: Path) -> dict[str, object] | None:
    try:
        content = json.loads(_text(file))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
