"""A spec becomes a dlt source: Python by name, REST by dlt's own `rest_api_source`."""

from __future__ import annotations

import fnmatch
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, cast
from urllib.parse import urlsplit

import dlt
from dlt.common import jsonpath
from dlt.extract import DltResource, DltSource

from pipelines import type_hints
from pipelines.configuration import setting
from pipelines.errors import EtlError, UsageError, did_you_mean
from pipelines.specs import tables
from pipelines.specs.spec import Spec
from pipelines.specs.types import Moves, ResourceHints

# Lists in lists become tables down to here and stay whole, as JSON, below. dlt's own 1000 makes names of tables, and
# of the job files called after them, that no file system takes.
DEEPEST_TABLES = 10

type_hints.remember()


def build(root: Path, spec: Spec) -> DltSource:
    """The source of a spec with the spec's hints on its resources; does no I/O upstream."""
    return _hinted(_rest(root, spec, spec.rest) if spec.rest is not None else _python(root, spec), spec)


def _hinted(source: DltSource, spec: Spec) -> DltSource:
    """The source with the spec's hints on its resources."""
    for name, hints in spec.resources.items():
        if name not in source.resources:
            known = list(source.resources)
            near = did_you_mean(name, known)
            raise UsageError(
                f"specs/{spec.name}.yaml: resources.{name}: no such resource{near}; it has: {_list(known)}"
            )
        _apply(source.resources[name], hints)
    if cast("int | None", source.max_table_nesting) is None:
        source.max_table_nesting = DEEPEST_TABLES
    return source


def choose(source: DltSource, spec: Spec, select: Iterable[str], exclude: Iterable[str]) -> list[str]:
    """Select resources by name or glob; UsageError when a pattern matches none, or one appends for no reason.

    Returns the chosen names. `exclude` may name the receipts of files, too: these are then not moved.
    """
    known = list(source.resources)
    default = [name for name in known if source.resources[name].selected]
    chosen = _matching(spec, known, select) or default
    dropped = _matching(spec, [*known, *(block.table for block in moves(spec).values())], exclude)
    chosen = [name for name in chosen if name not in dropped]
    if not chosen:
        raise UsageError(f"{spec.name}: nothing is left after --select and --exclude; it has: {_list(known)}")
    for name in known:
        source.resources[name].selected = name in chosen
    _refuse_to_append(source, spec)
    return chosen


def _refuse_to_append(source: DltSource, spec: Spec) -> None:
    for name, resource in source.selected_resources.items():
        appends = resource.write_disposition in ("append", {"disposition": "append"})
        if appends and not _append_reason(spec, name):
            raise UsageError(
                f"sources/{spec.name}: {name} appends, so a repeated run doubles its rows; merge it by a key, or say "
                f"why in specs/{spec.name}.yaml under resources.{name}.append_reason"
            )


def outline(root: Path, spec: Spec) -> DltSource:
    """The source with placeholders for its required settings: its resources and hints, never to be run."""
    return _hinted(_bare(root, spec), spec)


def unasked(root: Path, spec: Spec) -> DltSource:
    """The outline, with the settings that are there: its resources may depend on them."""
    return _hinted(_bare(root, spec, lambda name: setting(name, ("sources", spec.name)) is None), spec)


def resource_names(root: Path, spec: Spec) -> list[str]:
    """The resources a spec offers, in the order of its source."""
    return spec.once("resources", lambda: list(_bare(root, spec).resources))


def _bare(root: Path, spec: Spec, lacks: Callable[[str], bool] = lambda name: True) -> DltSource:
    """The outline without the spec's hints, which may name a resource that is not there."""
    if spec.rest is not None:
        from pipelines.specs.rest_model import unsigned

        return _rest(root, spec, unsigned(spec.rest))
    function = factory(root, spec)
    parameters = inspect.signature(function).parameters.values()
    required = [p for p in parameters if is_required(p) and lacks(p.name)]
    source = function(**{p.name: ["-"] if "list" in str(p.annotation) else "-" for p in required})
    return _checked(source, spec)


def tables_of(root: Path, spec: Spec) -> tables.Written:
    """The resources of a spec with the tables they write, and what is written of the files they name."""
    return spec.once("tables", lambda: _tables_of(root, spec))


def _tables_of(root: Path, spec: Spec) -> tables.Written:
    of_rows = tables.of_rest(spec.rest) if spec.rest is not None else tables.of_source(outline(root, spec))
    return [*of_rows, *tables.of_files(spec)]


def moves(spec: Spec) -> dict[str, Moves]:
    """The resources of a spec whose files are moved, and how."""
    return {name: hints.files for name, hints in spec.resources.items() if hints.files}


def mover(root: Path, spec: Spec, block: Moves) -> Any:
    """The function of a source that says which files to move."""
    function = getattr(load_module(root, "sources", spec.name), block.by, None)
    if not callable(function):
        raise UsageError(f"sources/{spec.name}: no public function {block.by}, which the spec names; write it")
    return function


def load_module(root: Path, package: str, name: str) -> ModuleType | None:
    """`<package>.<name>` of this workspace, or None when there is no such module."""
    folder = root / package
    files = [file for file in (folder / f"{name}.py", folder / name / "__init__.py") if file.is_file()]
    if not files:
        return None
    qualified = f"{package}.{name}"
    loaded = sys.modules.get(qualified)
    if loaded is not None and loaded.__file__ and files[0].samefile(loaded.__file__):
        return loaded
    for other in [module for module in sys.modules if module == qualified or module.startswith(f"{qualified}.")]:
        del sys.modules[other]
    path = importlib.import_module(package).__path__
    path[:] = [str(folder), *(entry for entry in path if entry != str(folder))]
    importlib.invalidate_caches()
    return importlib.import_module(qualified)


def factory(root: Path, spec: Spec) -> Any:
    """The `@dlt.source` function of a Python spec."""
    module = load_module(root, "sources", spec.name)
    if module is None:
        raise UsageError(f"specs/{spec.name}.yaml: python: there is no sources/{spec.name}.py; write it, or use rest:")
    function = getattr(module, spec.name, None)
    if not callable(function):
        raise UsageError(f"sources/{spec.name}.py: no @dlt.source function named {spec.name}; name it as the spec")
    return function


def sign_in_of(root: Path, spec: Spec) -> Any:
    """How people sign in to the system of a spec: the `SIGN_IN` of its source, or None."""
    return getattr(load_module(root, "sources", spec.name), "SIGN_IN", None)


def arguments(root: Path, spec: Spec) -> dict[str, str]:
    """The arguments a spec's functions take, with their types; a REST spec has its `base_url`."""
    functions = [mover(root, spec, block) for block in moves(spec).values()]
    functions += [factory(root, spec)] if spec.rest is None else []
    found = {} if spec.rest is None else {"base_url": "str"}
    for function in functions:
        found |= {name: str(p.annotation) for name, p in inspect.signature(function).parameters.items()}
    return found


def replaced(root: Path, spec: Spec) -> dict[str, str]:
    """Settings that people may look for in a source and that it does not take, with what to do instead."""
    return getattr(load_module(root, "sources", spec.name), "REPLACED", {})


def _python(root: Path, spec: Spec) -> DltSource:
    return _checked(factory(root, spec)(), spec)


def is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is dlt.config.value or parameter.default is dlt.secrets.value


def _checked(source: Any, spec: Spec) -> DltSource:
    if not isinstance(source, DltSource):
        raise EtlError(
            f"sources/{spec.name}.py: {spec.name}() did not return a dlt source; decorate it with @dlt.source"
        )
    written = tables.of_source(source)
    for first, second, table in tables.clashes(written):
        both = f"{written[first][0]!r} and {written[second][0]!r}"
        raise UsageError(f"sources/{spec.name}: {both} would both write the table {table}; rename one")
    return source


def _rest(root: Path, spec: Spec, rest: dict[str, Any]) -> DltSource:
    from dlt.sources.rest_api import rest_api_source
    from dlt.sources.rest_api.typing import RESTAPIConfig

    from pipelines.specs.rest_model import bind

    module = load_module(root, "sources", spec.name)
    config = bind(rest, module)
    client = dict(config["client"])
    override = setting("base_url", ("sources", spec.name))
    if override:
        client["base_url"] = override[0]
    session = client["session"] = importlib.import_module("sources.kit.http").open_session(spec.name)
    session.origin = urlsplit(client["base_url"]).netloc.rpartition("@")[2].lower()
    sign_in = sign_in_of(root, spec)
    session.auth = sign_in and sign_in.auth()
    client["paginator"] = _ahead(client.get("paginator", "auto"), session)
    defaults = config.get("resource_defaults", {}).get("endpoint", {})
    resources = [_endpoint(defaults, resource, session) for resource in config["resources"]]
    complete = cast(RESTAPIConfig, {**config, "client": client, "resources": resources})
    return rest_api_source(complete, name=spec.name, section=spec.name)


def _endpoint(defaults: dict[str, Any], resource: Any, session: Any) -> dict[str, Any]:
    """A REST resource whose answers are looked at, after what its own response actions make of them."""
    named = {"name": resource} if isinstance(resource, str) else resource
    own = named.get("endpoint", {})
    own = {"path": own} if isinstance(own, str) else own
    merged = {**defaults, **own}
    check = importlib.import_module("sources.kit.answers").Answers(merged.get("data_selector"))
    added: dict[str, Any] = {"response_actions": [*merged.get("response_actions", []), check]}
    if "data_selector" in merged:
        added["data_selector"] = jsonpath.compile_path(merged["data_selector"])  # dlt would do it for each page
    if merged.get("paginator", "auto") not in ("auto", {"type": "auto"}):
        added["paginator"] = _ahead(merged["paginator"], session)
    return {**named, "endpoint": {**own, **added}}


def _ahead(paginator: Any, session: Any) -> Any:
    """A paginator of dlt's own words that asks for pages ahead."""
    from dlt.sources.rest_api.config_setup import create_paginator

    return importlib.import_module("sources.kit.ahead").Ahead(create_paginator(paginator), session)


def _apply(resource: DltResource, hints: ResourceHints) -> None:
    given = hints.model_dump(exclude_unset=True, exclude={"enabled", "append_reason", "coverage", "files"})
    if given:
        resource.apply_hints(**given)
    if "enabled" in hints.model_fields_set:
        resource.selected = hints.enabled


def _append_reason(spec: Spec, resource: str) -> str | None:
    hints = spec.resources.get(resource)
    return hints.append_reason if hints else None


def _matching(spec: Spec, known: list[str], patterns: Iterable[str]) -> list[str]:
    found: list[str] = []
    for pattern in patterns:
        names = fnmatch.filter(known, pattern)
        if not names:
            near = did_you_mean(pattern, known)
            raise UsageError(f"{spec.name}: no resource {pattern!r}{near}; it has: {_list(known)}")
        found += [name for name in names if name not in found]
    return found


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def dataset_name(spec: Spec) -> str:
    """The dataset before the environment's layout: `dataset:` of the spec, or its name."""
    return spec.dataset or spec.name


def version() -> dict[str, str]:
    """The versions a manifest names."""
    from importlib.metadata import version as of

    return {
        "etl": of("etl"),
        "dlt": dlt.__version__,
        "duckdb": of("duckdb"),
        "python": sys.version.split()[0],
    }
