"""Derived tables are not searched but made anew of what is left, those of other specs that read it, too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines import promises
from pipelines.build import dataset_name
from pipelines.environment import Environment
from pipelines.keeping import count_anew, make_anew
from pipelines.ledger import open_ledger
from pipelines.lock import held
from pipelines.order import Order, settle
from pipelines.specs import spec as specs
from pipelines.specs.spec import Spec
from pipelines.translate import told_of


def make_readers_anew(environment: Environment, readers: Sequence[Spec], run_id: str) -> None:
    """Make the models of these specs, as far as they were made before."""
    for spec in readers:
        with told_of(spec.name):
            settle(environment, spec, Order())
            with held(environment, spec.name, run_id), open_ledger(environment) as ledger:
                if ledger.models(spec.name, environment.dataset(dataset_name(spec))):
                    make_anew(environment, spec, ledger, run_id)
                    count_anew(environment, spec, ledger, run_id)


def readers_of(root: Path, erased: Sequence[Spec]) -> Iterator[Spec]:
    """The specs whose models read tables of some specs, straight or through others; SpecError if one is wrong."""
    changed, left = {dataset_name(spec) for spec in erased}, specs.load_all(root)
    while found := [spec for spec in left if _reads(root, spec) & changed]:
        yield from found
        changed |= {dataset_name(spec) for spec in found}
        left = [spec for spec in left if spec not in found]


def _reads(root: Path, spec: Spec) -> set[str | None]:
    promised = promises.read(root, spec)
    return {promised.names.dataset(each) for model in promised.models for each in model.query.references}
