"""The specs of a workspace, and with `--types` the resources of each."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import Exit
from pipelines.printing import Printer
from pipelines.specs import spec as specs


def show(root: Path, types: bool, printer: Printer) -> Exit:
    """Print the specs; the sources are read only when their resources are asked for."""
    loaded = specs.load_all(root)
    resources = {spec.name: _resources(root, spec) for spec in loaded} if types else {}
    printer.document([_entry(spec, resources.get(spec.name)) for spec in loaded])
    if types:
        for spec in loaded:
            printer.lines([spec.name.upper(), *(f"  {name}" for name in resources[spec.name])])
    else:
        rows = [(s.name, _kind(s), s.schedule, s.about) for s in loaded]
        printer.table(("spec", "kind", "schedule", "about"), rows)
    return Exit.OK


def _resources(root: Path, spec: specs.Spec) -> list[str]:
    from pipelines.build import resource_names

    return resource_names(root, spec)


def _kind(spec: specs.Spec) -> str:
    return "rest" if spec.rest is not None else "python"


def _entry(spec: specs.Spec, resources: list[str] | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": spec.name,
        "kind": _kind(spec),
        "about": spec.about,
        "docs": spec.docs,
        "schedule": spec.schedule,
        "dataset": spec.dataset or spec.name,
    }
    return entry if resources is None else {**entry, "resources": resources}
