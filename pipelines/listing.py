"""The specs of a workspace, and with `--types` the resources of each and what they are."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import Exit, SpecError
from pipelines.printing import Printer
from pipelines.specs import spec as specs


def show(root: Path, types: bool, printer: Printer) -> Exit:
    """Print the specs; the sources are read only when their resources are asked for.

    A wrong spec hides no other: its mistakes are raised at the end.
    """
    loaded, wrong = specs.load_each(root)
    resources = {spec.name: _types(root, spec) for spec in loaded} if types else {}
    printer.document([_entry(spec, resources.get(spec.name)) for spec in loaded])
    advice = {name: f"wrong; see: etl validate {name}" for name in wrong}
    if types:
        for name, about in sorted((resources | {name: {text: ""} for name, text in advice.items()}).items()):
            width = max(map(len, about))
            printer.lines([name.upper(), *(f"  {each:<{width}}  {text}".rstrip() for each, text in about.items())])
    else:
        rows = {s.name: (s.name, _kind(s), s.schedule, s.about) for s in loaded}
        hidden = {name: (name, None, None, text) for name, text in advice.items()}
        printer.table(("spec", "kind", "schedule", "about"), [row for _, row in sorted((rows | hidden).items())])
    if wrong:
        raise SpecError([problem for problems in wrong.values() for problem in problems])
    return Exit.OK


def _types(root: Path, spec: specs.Spec) -> dict[str, str]:
    from pipelines.catalogue import abouts

    return abouts(root, spec)


def _kind(spec: specs.Spec) -> str:
    return "rest" if spec.rest is not None else "python"


def _entry(spec: specs.Spec, types: dict[str, str] | None) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": spec.name,
        "kind": _kind(spec),
        "about": spec.about,
        "docs": spec.docs,
        "schedule": spec.schedule,
        "dataset": spec.dataset or spec.name,
    }
    return entry if types is None else {**entry, "resources": list(types), "types": types}
