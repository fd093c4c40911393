"""What must hold between the keys under `rest:`, and what only dlt itself can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from dlt.common.exceptions import DltException
from dlt.sources.rest_api import rest_api_resources
from dlt.sources.rest_api.typing import RESTAPIConfig

from pipelines.errors import Problem
from pipelines.specs import rest_model, tables
from pipelines.specs.messages import read_as
from pipelines.specs.yaml_marks import Document, Place, shorten

STARTS = ("start_value", "initial_value", "last_value")


def problems(document: Document) -> list[Problem]:
    """Every mistake under `rest:` of a spec; dlt is asked once the rest is in order."""
    _, found = read_as(rest_model.model(), document, ("rest",))
    if not found:
        found = [*_twice(document), *_dispositions(document), *_cursors(document)]
    return found or list(_refused_by_dlt(document))


def _twice(document: Document) -> Iterator[Problem]:
    """Two resources of one name, or of two names that become one table."""
    written = tables.of_rest(document.data["rest"])
    for first, second, table in tables.clashes(written):
        line = document.marks[("rest", "resources", first)].value.line if document.marks else 1
        name, other = written[second][0], written[first][0]
        message = f"a second resource '{name}', first on line {line}; rename one"
        if name != other:
            message = f"'{name}' and '{other}' on line {line} would both write the table {table}; rename one"
        yield document.problem(("rest", "resources", second), message)


def _resources(document: Document) -> list[tuple[str, dict[str, Any]]]:
    listed = document.data["rest"]["resources"]
    return [(r, {}) if isinstance(r, str) else (r["name"], r) for r in listed]


def _dispositions(document: Document) -> Iterator[Problem]:
    """How each resource is written: append with a reason, merge with a key."""
    defaults = document.data["rest"].get("resource_defaults", {})
    hints = document.data.get("resources")
    for index, (name, own) in enumerate(_resources(document)):
        said = hints.get(name) if isinstance(hints, dict) else None
        said = said if isinstance(said, dict) else {}
        merged = {**defaults, **own, **said}
        is_told = said.get("write_disposition") == "append"  # its reason is looked for in the envelope
        if not is_told and merged.get("selected") is not False and merged.get("enabled") is not False:
            yield from _disposition(document, name, ("rest", "resources", index), merged)


def _disposition(document: Document, name: str, place: Place, hints: dict[str, Any]) -> Iterator[Problem]:
    disposition = hints.get("write_disposition", "append")
    if disposition == "append" and "append_reason" not in hints:
        usual = "" if "write_disposition" in hints else ", dlt's default,"
        message = f"append{usual} needs a reason; merge by primary_key, or say resources.{name}.append_reason"
        yield document.problem((*place, "write_disposition"), message)
    if disposition != "append" and "append_reason" in hints:
        reason: Place = ("resources", name, "append_reason")
        yield document.problem(reason, "nothing is appended here; leave it out", "key")
    if disposition not in ("append", "replace") and not _has_key(disposition, hints):
        yield document.problem((*place, "primary_key"), "merge needs a key; add primary_key")


def _has_key(disposition: Any, hints: dict[str, Any]) -> bool:
    if isinstance(disposition, dict) and disposition.get("strategy") == "scd2":
        return True
    columns = hints.get("columns")
    keyed = (c for c in columns.values() if isinstance(c, dict)) if isinstance(columns, dict) else ()
    by_column = any(c.get("primary_key") or c.get("merge_key") for c in keyed)
    return by_column or "primary_key" in hints or "merge_key" in hints


def _cursors(document: Document) -> Iterator[Problem]:
    """A cursor whose start is sent needs one for the first run, which would ask for what is new since `None`."""
    for index, (_, own) in enumerate(_resources(document)):
        endpoint = own.get("endpoint")
        for place, cursor in _sent_cursors(endpoint) if isinstance(endpoint, dict) else ():
            if not {"initial_value", "convert"} & cursor.keys():
                message = "its start is sent to the API, so it needs a first one; add initial_value"
                yield document.problem(("rest", "resources", index, "endpoint", *place), message, "key")


def _sent_cursors(endpoint: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The cursors of an endpoint whose start is part of a request, and where they stand."""
    cursor = endpoint.get("incremental")
    if isinstance(cursor, dict):
        others = {key: value for key, value in endpoint.items() if key != "incremental"}
        if "start_param" in cursor or any(f"{{incremental.{name}}}" in str(others) for name in STARTS):
            yield ("incremental",), cursor
    params = endpoint.get("params")
    for name, param in params.items() if isinstance(params, dict) else ():
        if isinstance(param, dict) and param.get("type") == "incremental":
            yield ("params", name), param


def _refused_by_dlt(document: Document) -> Iterator[Problem]:
    """What dlt finds when it builds the resources; nothing is asked of the API, no secret is read."""
    config = rest_model.with_functions(rest_model.unsigned(document.data["rest"]), lambda name: _stand_in)
    try:
        rest_api_resources(cast(RESTAPIConfig, config))
    except (DltException, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        text = " ".join(str(error).split()).replace("`", "'") or type(error).__name__
        named = (i for i, (name, _) in enumerate(_resources(document)) if f"'{name}'" in text)
        place: Place = next((("rest", "resources", i) for i in named), ("rest",))
        yield document.problem(place, f"dlt refuses it: {shorten(text, 300)}", "key")


def _stand_in(row: Any) -> Any:
    """Takes the place of a function that a check must not run."""
    return row
