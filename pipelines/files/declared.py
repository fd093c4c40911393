"""What specs declare of files: which are to be moved, where to, and where it is written down."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from dlt.common.configuration.inject import with_config

from pipelines import build
from pipelines.configuration import setting
from pipelines.environment import Environment, all_buckets
from pipelines.errors import EtlError, Problem, SettingError, UsageError, did_you_mean
from pipelines.order import Order
from pipelines.specs import spec as specs
from pipelines.specs import tables
from pipelines.specs.spec import Spec
from pipelines.specs.types import Moves
from sources.kit.files import Files


@dataclass(frozen=True)
class Move:
    """The files of one resource, on their way from what its rows name to receipts."""

    resource: str
    table: str
    block: Moves
    files: Files


def problems(root: Path, spec: Spec) -> Iterator[Problem]:
    """What is wrong with the files that a spec declares, seen from its tables and from all environments."""
    blocks = build.moves(spec)
    if not blocks:
        return
    buckets = all_buckets(root)
    for name, block in blocks.items():
        if block.to not in buckets:
            near = did_you_mean(block.to, sorted(buckets))
            message = f"no environment has a filesystem destination [….{block.to}]{near}; add it to destinations.toml"
            yield spec.problem(("resources", name, "files", "to"), message)
    yield from _astray(root, spec)
    written = build.tables_of(root, spec)
    places = {f"files of {name}": ("resources", name, "files") for name in blocks}
    for first, second, table in tables.clashes(written):
        writer, other = written[second][0], written[first][0]
        if writer in places:
            yield spec.problem(places[writer], f"{other} and {writer} would both write {table}; name another table")


def _astray(root: Path, spec: Spec) -> Iterator[Problem]:
    """Files whose receipts lie among those of another spec, which are of objects elsewhere."""
    shared = specs.load(root, spec.into) if spec.into in specs.names(root) else None
    stores = {block.table: block.to for block in build.moves(shared).values()} if shared else {}
    for name, block in build.moves(spec).items():
        if stores.get(block.table, block.to) != block.to:
            message = (
                f"{block.table} of {spec.into} is of objects in {stores[block.table]}; name the same, or another table"
            )
            yield spec.problem(("resources", name, "files", "to"), message)


def files_of(root: Path, spec: Spec, block: Moves, outlined: bool = False) -> Files:
    """The files of a resource, as the function of its source says that the spec names.

    `outlined`: what the function requires and nobody has set has placeholders.
    """
    function = build.mover(root, spec, block)
    parameters = inspect.signature(function).parameters.values()
    lacking = [p.name for p in parameters if build.is_required(p) and setting(p.name, ("sources", spec.name)) is None]
    files = with_config(function, sections=("sources", spec.name))(**dict.fromkeys(lacking if outlined else (), "-"))
    if not isinstance(files, Files):
        raise EtlError(f"sources/{spec.name}: {block.by}() did not return sources.kit.files.Files; let it do so")
    return files


def moves_of(root: Path, spec: Spec, order: Order, outlined: bool = False) -> list[Move]:
    """The files that an order is about."""
    tables = dict(build.tables_of(root, spec))
    return [
        Move(name, tables[name], block, files_of(root, spec, block, outlined))
        for name, block in chosen(spec, order).items()
    ]


def chosen(spec: Spec, order: Order) -> dict[str, Moves]:
    """The resources whose files an order is about, and how they are moved."""
    return {name: block for name, block in build.moves(spec).items() if _is_chosen(spec, name, order)}


def counted_in_files(spec: Spec, order: Order) -> Order:
    """The same order; where it moves files its limit counts those, and the lists that name them are read whole."""
    if order.limit is None or not chosen(spec, order):
        return order
    return replace(order, limit=None, next_files=order.limit)


def refuse(environment: Environment, spec: Spec, order: Order) -> None:
    """Refuse an order that its files cannot follow, before anything is read."""
    blocks = chosen(spec, order)
    if order.of_files and not blocks and build.moves(spec):
        raise UsageError(f"{spec.name}: {', '.join(order.of_files)}: no resource with files is selected; leave it out")
    for name, block in blocks.items():
        if block.to not in environment.buckets:
            raise SettingError(
                f"{spec.name}: the files of {name} go to {block.to}; add [{environment.name}.{block.to}] to "
                "destinations.toml"
            )
        windowed = order.since or order.until
        if windowed and files_of(environment.root, spec, block, outlined=True).when is None:
            raise UsageError(f"{spec.name}: files of {name} have no time, so --since and --until cannot choose them")


def _is_chosen(spec: Spec, name: str, order: Order) -> bool:
    named = any(fnmatchcase(name, pattern) for pattern in order.select)
    wanted = named if order.select else spec.resources[name].enabled
    mine = (name, build.moves(spec)[name].table)
    return wanted and not any(fnmatchcase(each, pattern) for each in mine for pattern in order.exclude)
