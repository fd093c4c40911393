"""Whose resources `--select` and `--exclude` name, where a command is about several specs, or names none."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipelines.build import moves, resource_names
from pipelines.errors import UsageError, did_you_mean
from pipelines.models import folder
from pipelines.specs.spec import Spec


def owners(root: Path, specs: Sequence[Spec], select: Sequence[str]) -> list[Spec]:
    """The specs that have what is selected, in their order; UsageError where none has it.

    A name that several have is refused, as nobody said whose is meant; a glob means those of all.
    """
    refuse_models(root, specs, select)
    for pattern in select:
        having = [spec.name for spec in specs if own(root, spec, [pattern])]
        if len(having) > 1 and not set(pattern) & set("*?["):
            raise UsageError(f"--select {pattern}: {' and '.join(having)} have it; name one of them")
    return having_any(root, specs, select)


def having_any(root: Path, specs: Sequence[Spec], select: Sequence[str]) -> list[Spec]:
    """Of several specs those that have some of what is selected; UsageError where a pattern is of none."""
    refuse_strange(root, specs, "--select", select)
    return [spec for spec in specs if own(root, spec, select)]


def refuse_strange(root: Path, specs: Sequence[Spec], option: str, patterns: Iterable[str]) -> None:
    """Refuse a pattern that none of the specs has something for."""
    for pattern in patterns:
        if not any(own(root, spec, [pattern]) for spec in specs):
            near = did_you_mean(pattern, [name for spec in specs for name in _names(root, spec)])
            of = ", ".join(spec.name for spec in specs)
            raise UsageError(f"{option} {pattern}: no such resource in {of}{near}; see: etl list --types")


def refuse_of_others(root: Path, spec: Spec, others: Sequence[Spec], select: Iterable[str]) -> None:
    """Refuse the name of a resource that this spec has not, and another has."""
    others = [each for each in others if each.name != spec.name]
    for pattern in select if others else ():
        having = [] if own(root, spec, [pattern]) else [each.name for each in others if own(root, each, [pattern])]
        if having:
            raise UsageError(
                f"--select {pattern}: {spec.name} has no such resource; name the spec: {', '.join(having)}"
            )


def refuse_models(root: Path, specs: Sequence[Spec], select: Iterable[str]) -> None:
    """Refuse the name of a model, which is no type: it is made whenever the tables that it reads are loaded."""
    for spec in specs:
        models = folder.read(root, spec.name).models
        for name in models.keys() & set(select):
            tables = sorted({str(reference) for reference in models[name].query.references})
            raise UsageError(f"--select {name}: is a model of {spec.name}, made of {', '.join(tables)}; select these")


def own(root: Path, spec: Spec, patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns that match something of a spec."""
    return tuple(pattern for pattern in patterns if fnmatch.filter(_names(root, spec), pattern))


def _names(root: Path, spec: Spec) -> list[str]:
    """What may be selected or excluded of a spec: its resources and the receipts of files."""
    return [*resource_names(root, spec), *(block.table for block in moves(spec).values())]
