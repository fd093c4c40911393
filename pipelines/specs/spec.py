"""What a spec may say: one file of `specs/` becomes one `Spec`, or every mistake in it with line and column.

Reading the envelope imports no dlt; `rest:` is read by `pipelines.specs.rest_rules` in a second step.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, Field, PrivateAttr

from pipelines.errors import Problem, SpecError, UsageError, did_you_mean
from pipelines.specs import yaml_marks
from pipelines.specs.checks import Check
from pipelines.specs.messages import Strict, expected, read_as
from pipelines.specs.types import Cron, Dataset, Identifier, Line, ResourceHints, Subjects, TimeZone, Url
from pipelines.specs.yaml_marks import Document, Place, leaves, shorten

FOLDER = "specs"
# [sources.http], sources/kit, folders of the engine
RESERVED = ("files", "http", "kit", "quarantine", "sandbox", "scratch")
SECRETS = frozenset(
    {"token", "access_token", "refresh_token", "auth_token", "bearer_token", "password", "passwd", "secret"}
    | {"client_secret", "api_secret", "secret_key", "private_key", "api_key", "apikey", "x_api_key"}
    | {"authorization", "cookie"}
)
_USER_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.I)
_REST_OR_PYTHON: dict[str, Any] = {"oneOf": [{"required": ["rest"]}, {"required": ["python"]}]}

T = TypeVar("T")
ResourcesOf = Callable[["Spec"], Sequence[str] | None]


class Spec(Strict):
    """One system: what is read from it, how, and when."""

    model_config = ConfigDict(json_schema_extra=_REST_OR_PYTHON)

    name: Identifier = Field(description="Name of the file, the pipeline, the dataset and the section of its secrets.")
    about: Line = Field(description="What it loads, in one line.")
    docs: Url | None = Field(None, description="Documentation of the API it reads.")
    schedule: Cron | None = Field(None, description='When it runs, as five cron fields, e.g. "17 * * * *".')
    timezone: TimeZone | None = Field(None, description="Zone of `--since`, `--until` and times without one; else UTC.")
    dataset: Dataset | None = Field(None, description="Dataset of its tables, where that is not the name of the spec.")
    into: Identifier | None = Field(
        None, description="Spec of the same dataset into whose tables it loads; the two never run at once."
    )
    rest: dict[str, Any] | None = Field(None, description="A REST API in dlt's own words; instead of `python`.")
    python: dict[str, Any] | None = Field(
        None,
        description="Arguments of the function in `sources/<name>.py` named as the spec; instead of `rest`.",
    )
    resources: dict[str, ResourceHints] = Field(
        default_factory=dict,
        description="Resources by name, only with what differs from the source's own hints.",
    )
    checks: list[Check] = Field(
        default_factory=list,
        description="What the loaded tables promise; judged after each load and by `etl check`.",
    )
    subjects: Subjects | None = Field(None, description="Who the rows are about; `etl erase` goes by it.")

    _document: Document | None = PrivateAttr(None)
    _worked_out: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def document(self) -> Document:
        """The file the spec was read from; a spec made in memory has one without marks."""
        return self._document or Document(_shown(self.name), self.model_dump(exclude_unset=True), {}, [])

    @property
    def lock(self) -> str:
        """The spec whose lock is held by whatever changes something of this one."""
        return self.into or self.name

    def once(self, name: str, work_out: Callable[[], T]) -> T:
        """What is worked out of the spec, its source and its models, by a name: once for this spec."""
        if name not in self._worked_out:
            self._worked_out[name] = work_out()
        return cast("T", self._worked_out[name])

    def problem(self, place: Place, message: str, at: str = "value") -> Problem:
        """A problem of one place of the spec, at its `key` or its `value`."""
        return self.document.problem(place, message, at)


def names(root: Path) -> list[str]:
    """The specs of a workspace, sorted; hidden files are not specs."""
    return sorted(path.stem for path in (root / FOLDER).glob("*.yaml") if not path.name.startswith("."))


def load(root: Path, name: str) -> Spec:
    """One spec by name; UsageError when there is none, SpecError with every mistake of its envelope."""
    _refuse_unknown(root, [name])
    spec, problems = _read(_document(root, name), name)
    if spec is None or problems:
        raise SpecError(problems)
    return spec


def load_all(root: Path) -> list[Spec]:
    """Every spec; SpecError with the mistakes of all of them."""
    found, wrong = load_each(root)
    if wrong:
        raise SpecError([problem for problems in wrong.values() for problem in problems])
    return found


def load_each(root: Path) -> tuple[list[Spec], dict[str, list[Problem]]]:
    """The specs that are right, and the mistakes of each that is not."""
    found = {name: _read(_document(root, name), name) for name in names(root)}
    wrong = {name: problems for name, (_, problems) in found.items() if problems}
    return [spec for name, (spec, _) in found.items() if spec is not None and name not in wrong], wrong


def validate(root: Path, chosen: Iterable[str] = (), resources_of: ResourcesOf | None = None) -> list[Problem]:
    """Every mistake of the chosen specs, or of all, in file order; UsageError when a name is unknown.

    `resources_of` lists the resources of a Python source; None means that it cannot be told here.
    """
    chosen = list(chosen)
    _refuse_unknown(root, chosen)
    problems = [problem for name in chosen or names(root) for problem in _validate(root, name, resources_of)]
    if not chosen:
        problems += _strays(root)
    return SpecError(problems).problems


def check_rest(spec: Spec) -> list[Problem]:
    """What dlt would refuse under `rest:`; imports dlt."""
    return _rest_problems(spec.document)


def check_source(root: Path, spec: Spec) -> list[Problem]:
    """Whether `sources/<name>.py` holds what the spec names; runs none of it."""
    return _source_problems(root, spec.name, spec.document)


def _validate(root: Path, name: str, resources_of: ResourcesOf | None) -> list[Problem]:
    document = _document(root, name)
    spec, problems = _read(document, name)
    if isinstance(document.data, dict):
        problems = [*problems, *_rest_problems(document), *_source_problems(root, name, document)]
    if spec is not None and not problems:
        problems = list(_unknown_resources(spec, resources_of))
    return _one_per_place(problems)


def _refuse_unknown(root: Path, chosen: Iterable[str]) -> None:
    known = names(root)
    for name in chosen:
        if name not in known:
            near = did_you_mean(name, known)
            raise UsageError(f"no spec named '{shorten(name)}'{near}; known: {', '.join(known) or 'none'}")


def _strays(root: Path) -> Iterator[Problem]:
    for path in sorted((root / FOLDER).glob("*.yml")):
        yield Problem(f"{FOLDER}/{path.name}", 1, 1, "", f"is not read; name it {path.stem}.yaml")


def _shown(name: str) -> str:
    return f"{FOLDER}/{name}.yaml"


def _document(root: Path, name: str) -> Document:
    return yaml_marks.read(root / FOLDER / f"{name}.yaml", _shown(name))


def _read(document: Document, name: str) -> tuple[Spec | None, list[Problem]]:
    """The envelope of a spec and what is wrong with it."""
    if not isinstance(document.data, dict):
        refused = document.problem((), expected("a mapping of keys", document.data))
        return None, document.problems or [refused]
    spec, wrong = read_as(Spec, document)
    problems = [*document.problems, *_secrets(document), *_envelope(document, name), *wrong]
    if spec is not None:
        spec._document = document
    return spec, _one_per_place(problems)


def _one_per_place(problems: Iterable[Problem]) -> list[Problem]:
    """The first problem of each place, in file order."""
    first: dict[tuple[str, int, int] | str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.path or ("", problem.line, problem.column), problem)
    return SpecError(list(first.values())).problems


def _envelope(document: Document, name: str) -> Iterator[Problem]:
    """What holds between keys."""
    data = document.data
    yield from _name(document, name)
    kinds = [kind for kind in ("rest", "python") if kind in data]
    if len(kinds) != 1:
        place: Place = ("python",) if kinds else ()
        yield document.problem(
            place, f"expected exactly one of: rest, python; got {'both' if kinds else 'neither'}", "key"
        )
    resources = data.get("resources")
    for resource, hints in resources.items() if isinstance(resources, dict) else ():
        if isinstance(hints, dict):
            yield from _append(document, ("resources", resource), hints)


def _name(document: Document, name: str) -> Iterator[Problem]:
    given = document.data.get("name")
    if keyword.iskeyword(name) or name in RESERVED:
        yield document.problem(("name",), f"'{name}' is reserved; give the file another name")
    elif isinstance(given, str) and given != name:
        yield document.problem(("name",), f"expected '{name}', the name of the file")


def _append(document: Document, place: Place, hints: dict[str, Any]) -> Iterator[Problem]:
    disposition = hints.get("write_disposition")
    if disposition == "append" and "append_reason" not in hints:
        message = "append needs a reason; add append_reason, or merge by primary_key"
        yield document.problem((*place, "write_disposition"), message)
    if disposition not in (None, "append") and "append_reason" in hints:
        yield document.problem((*place, "append_reason"), "nothing is appended here; leave it out", "key")


def _secrets(document: Document) -> Iterator[Problem]:
    """Literal secrets: a spec is in git."""
    section = document.file.removeprefix(f"{FOLDER}/").removesuffix(".yaml")
    for kind, where in (("rest", f"sources.{section}.credentials"), ("python", f"sources.{section}")):
        for place, value in leaves(document.data.get(kind), (kind,)):
            if _is_secret(place, value):
                message = f"secrets have no place in a spec; put it in [{where}] of .dlt/secrets.toml"
                yield document.problem(place, message, "key")


def _is_secret(place: Place, value: Any) -> bool:
    if isinstance(value, str) and _USER_IN_URL.search(value):
        return True
    if value is None or isinstance(value, bool) or (isinstance(value, str) and value.startswith("{")):
        return False
    words = [str(step).lower().replace("-", "_") for step in place if not isinstance(step, int)]
    return words[-1] in SECRETS and "columns" not in words


def _rest_problems(document: Document) -> list[Problem]:
    if not isinstance(document.data, dict) or not isinstance(document.data.get("rest"), dict):
        return []
    from pipelines.specs import rest_rules

    return rest_rules.problems(document)


def _source_problems(root: Path, name: str, document: Document) -> list[Problem]:
    from pipelines.specs import source as spec_source

    return spec_source.problems(root, name, document)


def _unknown_resources(spec: Spec, resources_of: ResourcesOf | None) -> Iterator[Problem]:
    known = _known_resources(spec, resources_of) if spec.resources else None
    if known is None:
        return
    for name in spec.resources:
        if name not in known:
            near = did_you_mean(name, known)
            message = f"no such resource{near}; the source has: {', '.join(sorted(known)) or 'none'}"
            yield spec.problem(("resources", name), message, "key")


def _known_resources(spec: Spec, resources_of: ResourcesOf | None) -> Sequence[str] | None:
    if spec.rest is not None:
        return _rest_resources(spec.rest)
    return resources_of(spec) if resources_of else None


def _rest_resources(rest: dict[str, Any]) -> list[str]:
    return [resource if isinstance(resource, str) else resource["name"] for resource in rest["resources"]]
