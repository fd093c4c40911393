"""Make the models of a spec that are due: what was loaded, changed or failed since they were last made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.destinations.exceptions import DatabaseException
from sqlglot import exp

from pipelines.ledger import Ledger, ModelRow
from pipelines.models.folder import Model
from pipelines.models.put import Target, drop_views, put
from pipelines.promises import Promises
from pipelines.queries import NotSql
from pipelines.translate import refusal
from pipelines.warehouse import Warehouse

DUE = ""  # a fingerprint that no model has


@dataclass(frozen=True)
class Made:
    """What became of a model: made, unchanged, waits (for a table that is not there), failed or skipped.

    `place` is `:` and the line of its file at which it failed, where that is known.
    """

    name: str
    status: str
    message: str = ""
    place: str = ""

    @property
    def stands(self) -> bool:
        """Whether it is there as its file says."""
        return self.status in ("made", "unchanged")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def make_way(warehouse: Warehouse, promises: Promises) -> None:
    """Drop the models that are views: Postgres drops no table that one reads. They are made again after the load."""
    drop_views(warehouse, sorted({model.name for model in promises.models} & warehouse.views()))


class Maker:
    """Makes the models of one spec; `everything` makes those that nothing changed, too."""

    def __init__(
        self, warehouse: Warehouse, promises: Promises, ledger: Ledger, run_id: str, everything: bool = False
    ) -> None:
        self._warehouse, self._promises, self._ledger = warehouse, promises, ledger
        self._run_id, self._everything = run_id, everything
        self._names = promises.names
        self._known = ledger.models(promises.spec.name, warehouse.dataset)
        self._tables: dict[str, dict[str, list[str]]] = {}
        self._done: dict[str, Made] = {}
        self._prints: dict[str, str] = {}
        self._rows: list[ModelRow] = []

    def make(self) -> list[Made]:
        """Make what is due, each after what it reads; note what was made, even if the next one breaks."""
        try:
            for model in self._promises.models:
                self._done[model.name] = self._made(model)
                self._note(model.name)
        finally:
            if self._rows:
                self._ledger.put_models(self._promises.spec.name, self._warehouse.dataset, self._rows)
        return list(self._done.values())

    def _note(self, name: str) -> None:
        """Note that a model which could not be made is due, whatever it was made from before."""
        if name in self._known and not self._done[name].stands:
            self._rows.append(replace(self._known[name], fingerprint=DUE))

    def left_over(self) -> list[tuple[str, str]]:
        """Models whose file is gone while their TABLE or VIEW stays; those of which nothing stays are forgotten."""
        names = {model.name for model in self._promises.models}
        gone = [name for name in self._known if name not in names]
        there = self._tables_of(self._warehouse.dataset) if gone else {}
        forgotten = [name for name in gone if name not in there]
        if forgotten:
            self._ledger.put_models(self._promises.spec.name, self._warehouse.dataset, [], forgotten)
        return [(name, "VIEW" if name in self._views else "TABLE") for name in gone if name in there]

    def _made(self, model: Model) -> Made:
        broken = next((self._done[name] for name in self._above(model) if not self._done[name].stands), None)
        if broken:
            return Made(model.name, "waits" if broken.status == "waits" else "skipped", f"reads {broken.name}")
        missing = self._missing(model)
        if missing:
            return Made(model.name, "waits", f"there is no table {missing} yet")
        try:
            return self._replaced(model)
        except NotSql as wrong:
            return Made(model.name, "failed", wrong.message)
        except DatabaseException as error:
            said = refusal(error)
            if said is None:
                raise
            return Made(model.name, "failed", said, model.place(said.split(";")[0]))

    def _replaced(self, model: Model) -> Made:
        sql = model.query.written(self._warehouse.kind, self._names.full(self._warehouse))
        row = self._row(model, sql)
        there = model.name in self._tables_of(self._warehouse.dataset)
        if there and not self._everything and self._is_as_before(row):
            return Made(model.name, "unchanged")
        if model.name not in self._known and there:
            return Made(model.name, "failed", f"{model.name} is there and no model; drop that, or rename the model")
        if model.name not in self._known:
            self._claim(row)
        before = "" if not there else "VIEW" if model.name in self._views else "TABLE"
        views = self._views_on(model.name)
        target = Target(model.name, before, views, self._aliases([model.name, *views]))
        put(self._warehouse, target, sql, model.words)
        self._rows.append(row)
        return Made(model.name, "made")

    def _claim(self, row: ModelRow) -> None:
        """Note that a table is ours before it is made, so that the next run knows it even if this one is killed."""
        self._ledger.put_models(row.spec, row.dataset, [replace(row, fingerprint=DUE)])

    def _views_on(self, name: str) -> list[str]:
        """The models that read one, straight or through others, and are views now."""
        below = {name}
        for model in self._promises.models:
            if any(r.table in below and self._names.is_own(r) for r in model.query.references):
                below.add(model.name)
        return sorted(below & self._views - {name})

    def _aliases(self, names: list[str]) -> list[exp.Table]:
        """The views of models under the names that the environment gives them once more."""
        environment, spec = self._warehouse.environment, self._promises.spec.name
        views = [environment.view(spec, name) for name in names] if spec in environment.views else []
        return [self._warehouse.named(view, dataset) for dataset, view in views]

    def _row(self, model: Model, sql: str) -> ModelRow:
        """What the model is made from now: rows, its text, and that of the models it reads."""
        words = model.words.model_dump() if model.words else None
        text = json.dumps([sql, words, [self._prints[name] for name in self._above(model)], *self._elsewhere(model)])
        self._prints[model.name] = hashlib.sha256(text.encode()).hexdigest()
        spec, dataset, now = self._promises.spec.name, self._warehouse.dataset, datetime.now(UTC)
        return ModelRow(dataset, model.name, spec, self._prints[model.name], self._load_id, self._run_id, now)

    def _elsewhere(self, model: Model) -> Iterator[str]:
        """The last loads into other datasets that it reads."""
        environment = self._warehouse.environment
        others = {self._names.dataset_in(environment, r) for r in model.query.references if not self._names.is_own(r)}
        yield from (f"{dataset} {self._newest_load(dataset)}" for dataset in sorted(others))

    def _is_as_before(self, row: ModelRow) -> bool:
        before = self._known.get(row.name)
        return before is not None and (before.fingerprint, before.load_id) == (row.fingerprint, row.load_id)

    def _above(self, model: Model) -> list[str]:
        """The models that it reads, all of which come before it."""
        return sorted({r.table for r in model.query.references if r.table in self._done and self._names.is_own(r)})

    def _missing(self, model: Model) -> str | None:
        """The first table it reads that is not there."""
        for reference in model.query.references:
            dataset = self._names.dataset_in(self._warehouse.environment, reference)
            if reference.table not in self._above(model) and reference.table not in self._tables_of(dataset):
                return str(reference)
        return None

    @cached_property
    def _views(self) -> set[str]:
        return self._warehouse.views()

    @cached_property
    def _load_id(self) -> str | None:
        return self._newest_load()

    def _newest_load(self, dataset: str | None = None) -> str | None:
        """The last load into a dataset that came to its end; none where nothing was ever loaded."""
        loads = self._warehouse.sql(self._warehouse.named("_dlt_loads", dataset))
        with suppress(DestinationUndefinedEntity):
            newest: str | None = self._warehouse.ask(f"SELECT max(load_id) FROM {loads}")[0][0]
            return newest
        return None

    def _tables_of(self, dataset: str) -> dict[str, list[str]]:
        if dataset not in self._tables:
            self._tables[dataset] = self._warehouse.tables(dataset)
        return self._tables[dataset]
