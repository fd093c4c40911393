"""What a spec promises beside its tables: models made of them, and checks that both must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from sqlglot import exp

from pipelines.build import dataset_name, tables_of
from pipelines.checks.mistakes import Known, loaded_tables, mistakes
from pipelines.checks.questions import failing, measured
from pipelines.environment import Environment, kinds
from pipelines.errors import Problem, SpecError, did_you_mean
from pipelines.models import folder
from pipelines.models.folder import Folder, Model
from pipelines.queries import NotSql, Query, Reference, parse
from pipelines.specs import spec as specs
from pipelines.specs.checks import Check, Fresh, RowCount, Sql, Unique, repeated, told_apart
from pipelines.specs.spec import Spec
from pipelines.specs.yaml_marks import Document, Place
from pipelines.warehouse import Warehouse

AGAIN = "the same check stands there before; leave one out"


class Names:
    """Datasets as models name them: by the spec that fills them, or as themselves."""

    def __init__(self, root: Path, spec: Spec) -> None:
        self._root, self.own = root, dataset_name(spec)

    def dataset(self, reference: Reference) -> str | None:
        """The dataset before the environment's layout; None where no spec has it."""
        return self.own if not reference.dataset else self._datasets.get(reference.dataset)

    def is_own(self, reference: Reference) -> bool:
        """Whether it is a table of the spec's own dataset."""
        return self.dataset(reference) == self.own

    def dataset_in(self, environment: Environment, reference: Reference) -> str:
        """The dataset as an environment names it."""
        return environment.dataset(self.dataset(reference) or reference.dataset)

    def full(self, warehouse: Warehouse) -> Callable[[Reference], exp.Table]:
        """What names a table in full."""
        return lambda r: warehouse.named(r.table, self.dataset_in(warehouse.environment, r))

    def datasets(self) -> list[str]:
        """What may stand before the dot."""
        return sorted(self._datasets)

    @cached_property
    def _datasets(self) -> dict[str, str]:
        found, _ = specs.load_each(self._root)
        return {dataset_name(spec): dataset_name(spec) for spec in found} | {s.name: dataset_name(s) for s in found}


@dataclass(frozen=True)
class Promises:
    """The models of a spec in the order in which they are made, and its checks, those of the models last."""

    spec: Spec
    names: Names
    models: list[Model]
    checks: list[Check]
    queries: dict[str, Query]  # of checks in a file, by that
    keys: dict[str, list[str]]  # the columns that tell the rows of a table apart, where a check says so

    def only(self, wanted: Callable[[Check], bool]) -> Promises:
        """The same with fewer checks."""
        return replace(self, checks=[check for check in self.checks if wanted(check)])


def read(root: Path, spec: Spec) -> Promises:
    """The promises of a spec; SpecError with every mistake in them."""
    reader = _reader(root, spec)
    if reader.problems:
        raise SpecError(reader.problems)
    return reader.promises()


def problems(root: Path, chosen: Iterable[Spec]) -> list[Problem]:
    """Every mistake in the models and checks of specs that are right by themselves."""
    return [problem for spec in chosen for problem in _reader(root, spec).problems]


def _reader(root: Path, spec: Spec) -> Reader:
    return spec.once("promises", lambda: Reader(root, spec))


def strays(root: Path) -> list[Problem]:
    """Folders of models that belong to no spec."""
    known = specs.names(root)
    return [
        Problem(f"{folder.FOLDER}/{name}", 1, 1, "", f"there is no spec named '{name}'{did_you_mean(name, known)}")
        for name in folder.names(root)
        if name not in known
    ]


class Reader:
    """Reads the promises of one spec and says what is wrong with them."""

    def __init__(self, root: Path, spec: Spec) -> None:
        self._root, self._spec = root, spec
        self._folder: Folder = folder.read(root, spec.name)
        self._names = Names(root, spec)
        self._needs = {name: self._needed(model) for name, model in self._folder.models.items()}

    def promises(self) -> Promises:
        """What was read."""
        order, _ = folder.in_order(self._needs)
        checks = told_apart([*self._spec.checks, *self._folder.checks])
        queries = {check.sql: parse(self._text(check)) for check in checks if isinstance(check, Sql)}
        keys = {check.table: check.columns for check in reversed(checks) if isinstance(check, Unique)}
        return Promises(self._spec, self._names, [self._folder.models[name] for name in order], checks, queries, keys)

    @cached_property
    def problems(self) -> list[Problem]:
        """Every mistake; none of what depends on a file that cannot be read."""
        if not (self._folder.models or self._folder.checks or self._folder.problems or self._spec.checks):
            return []
        found = self._folder.problems or [*self._of_names(), *self._of_models(), *self._of_order()]
        return SpecError([*found, *self._of_checks()]).problems

    def _needed(self, model: Model) -> list[str]:
        own = {r.table for r in model.query.references if self._names.is_own(r)}
        return sorted(own & set(self._folder.models))

    @cached_property
    def _tables(self) -> dict[str, str]:
        """The tables that specs load into the dataset, with the spec of each; and what others derive there."""
        found, _ = specs.load_each(self._root)
        sharing = [self._spec, *(s for s in found if dataset_name(s) == self._names.own and s.name != self._spec.name)]
        return {table: spec.name for spec in reversed(sharing) for _, table in tables_of(self._root, spec)}

    def _of_names(self) -> Iterator[Problem]:
        for name, model in self._folder.models.items():
            if name in self._tables:
                yield model.problem(f"{self._tables[name]} loads a table {name}; name the model otherwise")

    def _of_order(self) -> Iterator[Problem]:
        _, circle = folder.in_order(self._needs)
        if circle:
            shown = " → ".join(circle)
            yield self._folder.models[circle[0]].problem(f"the models read each other in a circle: {shown}")

    def _of_models(self) -> Iterator[Problem]:
        for model in self._folder.models.values():
            yield from (model.problem(m, line, column) for m, line, column in self._of_query(model.query))
            yield from (model.problem(message) for message in self._unsayable(model.query))
            if model.query.nameless is not None:
                text = model.query.nameless.sql("duckdb")
                yield model.problem(f"the column {text[:60]} has no name; write AS and one")

    def _unsayable(self, query: Query) -> Iterator[str]:
        """What a kind of warehouse that some environment has cannot say."""
        for kind in sorted(kinds(self._root)):
            if wrong := query.unsayable(kind):
                yield wrong

    def _of_query(self, query: Query) -> Iterator[tuple[str, int, int]]:
        for reference in query.references:
            wrong = self._unknown(reference)
            if wrong:
                yield wrong, reference.line, reference.column

    def _unknown(self, reference: Reference) -> str | None:
        if self._names.dataset(reference) is None:
            known = self._names.datasets()
            near = did_you_mean(reference.dataset, known)
            return f"no spec or dataset named '{reference.dataset}'{near}; known: {', '.join(known)}"
        return self._no_table(reference.table) if self._names.is_own(reference) else None

    def _no_table(self, table: str) -> str | None:
        """What to say of a table that neither a spec loads nor a model makes."""
        known = sorted({*self._tables, *self._folder.models})
        if table in known or table.startswith(("_dlt_", *(f"{name}__" for name in self._tables))):
            return None
        near = did_you_mean(table, known)
        return f"no table or model named '{table}'{near}; known: {', '.join(known) or 'none'}"

    def _of_checks(self) -> Iterator[Problem]:
        mine, theirs = self._spec.checks, self._folder.checks
        for document, checks, before in (
            (self._spec.document, mine, []),
            (self._folder.document, theirs, mine),
        ):
            for position, check in enumerate(checks):
                yield from self._of_check(document, ("checks", position), check)
            for position in repeated(checks, before):
                name = checks[position].name
                message = f"another check is named '{name}'; give this one another name" if name else AGAIN
                yield document.problem(("checks", position), message, "key")

    def _of_check(self, document: Document, place: Place, check: Check) -> Iterator[Problem]:
        for key, table, _ in check.mentions():
            wrong = self._no_table(table)
            if wrong:
                yield document.problem((*place, key), wrong)
                return
        if isinstance(check, Sql):
            yield from self._of_file(document, (*place, "sql"), check)
            return
        try:
            query = measured(check) if isinstance(check, RowCount | Fresh) else failing(check)
        except NotSql as wrong_sql:
            yield document.problem((*place, "where"), wrong_sql.message)
            return
        asked = [*(message for message, _, _ in self._of_query(query)), *self._unsayable(query)]
        yield from (document.problem((*place, "where"), message) for message in asked)
        yield from (document.problem((*place, key), message) for key, message in mistakes(check, self._known))

    @cached_property
    def _known(self) -> dict[str, Known]:
        """The columns of the tables that checks name, of those that the spec loads and of its models."""
        checks = [*self._spec.checks, *self._folder.checks]
        mentioned = {table for check in checks for _, table, _ in check.mentions()}
        models = {name: model.query.columns for name, model in self._folder.models.items()}
        told = {name: Known(dict.fromkeys(columns, ""), whole=True) for name, columns in models.items() if columns}
        return {**loaded_tables(self._root, self._spec, mentioned), **told}

    def _of_file(self, document: Document, place: Place, check: Sql) -> Iterator[Problem]:
        try:
            query = parse(self._text(check))
        except NotSql as wrong:
            yield Problem(check.sql, wrong.line, wrong.column, "", wrong.message)
        except (OSError, UnicodeDecodeError):
            yield document.problem(place, "there is no such file, or it is not UTF-8 text")
        else:
            yield from (Problem(check.sql, line, column, "", m) for m, line, column in self._of_query(query))
            yield from (Problem(check.sql, 1, 1, "", message) for message in self._unsayable(query))

    def _text(self, check: Sql) -> str:
        return (self._root / check.sql).read_text(encoding="utf-8")
