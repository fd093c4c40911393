"""What would bring the value back: a spec or a setting that asks for it, and a file that a source reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipelines import build, configuration
from pipelines.environment import Environment
from pipelines.erase.sought import Sought
from pipelines.specs.spec import Spec
from pipelines.specs.yaml_marks import leaves

BLOCK = 1 << 20
_LINE = re.compile(r":\d+$")
LONGEST = 1 << 10  # characters of an occurrence that lies across two blocks


def asked_again(environment: Environment, spec: Spec, sought: Sought) -> list[str]:
    """One line for each, without the value; the settings of the spec must be in force."""
    found = [_told(file) for file in _files(environment, spec) if _holds(file, sought)]
    named = [*_in_spec(spec, sought), *_in_settings(environment, spec, sought), *found]
    return [*map(sought.scrubbed, named), *exported(environment, spec)]


def still_listed(environment: Environment, sought: Sought, files: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of the files that rows came from, `calls.csv` or a line of it, those that hold the value, and those out of reach.

    One line for each, without the value.
    """
    names = dict.fromkeys(_LINE.sub("", file) for file in files)
    here = {name: environment.root / name for name in names if "://" not in name}
    there = {name: file for name, file in here.items() if os.access(file, os.R_OK) and file.is_file()}
    holding = [_told(file) for file in there.values() if _holds(file, sought)]
    unseen = [f"{name}: rows came from there; nobody looked into it, so do" for name in names if name not in there]
    return [*map(sought.scrubbed, holding)], [*map(sought.scrubbed, unseen)]


def _told(file: Path) -> str:
    return f"{file}: holds the value; it is yours, so mend or delete it"


def exported(environment: Environment, spec: Spec) -> Iterator[str]:
    """Tables as files where an export puts them by itself; where else people took them, nobody knows."""
    folder = f"exports/{environment.name}/{spec.name}"
    if (environment.root / folder).exists():
        again = f"etl export {spec.name} --env {environment.name}"
        yield f"{folder}: was not looked into; write it again with {again}, or delete it"


def _in_spec(spec: Spec, sought: Sought) -> Iterator[str]:
    for kind in ("python", "rest"):
        for place, value in leaves(spec.document.data.get(kind), (kind,)):
            if sought.stands_in(str(value)):
                yield str(spec.problem(place, "still asks for the value; take it out"))


def _in_settings(environment: Environment, spec: Spec, sought: Sought) -> Iterator[str]:
    for argument in build.arguments(environment.root, spec):
        for value, provider, key in configuration.every(argument, ("sources", spec.name)):
            if provider != "spec" and sought.stands_in(str(value)):
                is_ours = provider == configuration.SANDBOX
                advice = ", so the next run brings it back" if is_ours else "; take it out"
                yield f"{provider}: {key} still asks for the value{advice}"


def _files(environment: Environment, spec: Spec) -> Iterator[Path]:
    """The models of a spec, and local files that an argument of its source names: a file, a folder or a glob."""
    yield from sorted((environment.root / "models" / spec.name).glob("*.sql"))
    for argument in build.arguments(environment.root, spec):
        found: Any = configuration.setting(argument, ("sources", spec.name))
        if found and isinstance(found[0], str) and "://" not in found[0]:
            pattern = environment.root / found[0]
            for path in sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))):
                yield from (file for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file())


def _holds(file: Path, sought: Sought) -> bool:
    """Whether a file has the value in its name or its text, be it UTF-8, UTF-16 or one byte a character."""
    if sought.stands_in(file.name):
        return True
    tail = ""
    with file.open("rb") as content:
        while block := content.read(BLOCK):
            text = tail + block.replace(b"\0", b"").decode("utf-8", errors="replace")
            if sought.stands_in(text):
                return True
            tail = text[-LONGEST:]
    return False
