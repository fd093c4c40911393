"""The JSON Schemas for editors and the reference pages, made from what reads specs, models.yaml and sources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pipelines import catalogue
from pipelines.atomic import write_text
from pipelines.specs import rest_model
from pipelines.specs.messages import Strict
from pipelines.specs.models import ModelsFile
from pipelines.specs.spec import FOLDER, Spec

SCHEMA_FILE = f"{FOLDER}/spec.schema.json"
MODELS_SCHEMA_FILE = "models/models.schema.json"
REFERENCE_FILE = "docs/spec.md"
SOURCES_FILE = "docs/sources.md"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _AbsentNeverNull(GenerateJsonSchema):
    """A key that may be absent takes no null; titles and defaults would say nothing new."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema() -> dict[str, Any]:
    """The schema of a whole spec, draft 2020-12."""
    rest: Any = rest_model.model() | None
    words = Spec.model_fields["rest"].description
    whole = create_model("Spec", __base__=Spec, rest=(rest, Field(None, description=words)))
    return _schema(whole, "A spec of etl")


def models_schema() -> dict[str, Any]:
    """The schema of a `models.yaml`."""
    return _schema(ModelsFile, "The models of a spec of etl")


def _schema(model: type[Strict], title: str) -> dict[str, Any]:
    schema = _plain(model.model_json_schema(schema_generator=_AbsentNeverNull))
    return {"$schema": _DRAFT, "title": title, **schema}


def reference() -> str:
    """The reference page, in Markdown."""
    return "\n".join(_page(json_schema(), models_schema()))


def write(root: Path) -> list[Path]:
    """Write the schemas and the pages; returns the files."""
    for path, text in _files(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return list(_files(root))


def is_stale(root: Path) -> bool:
    """Whether a generated file is missing or differs from what the models say."""
    return any(not path.is_file() or path.read_text("utf-8") != text for path, text in _files(root).items())


def _files(root: Path) -> dict[Path, str]:
    schemas = {SCHEMA_FILE: json_schema(), MODELS_SCHEMA_FILE: models_schema()}
    written = {root / file: json.dumps(schema, indent=1, ensure_ascii=False) + "\n" for file, schema in schemas.items()}
    return {**written, root / REFERENCE_FILE: reference(), root / SOURCES_FILE: catalogue.page(root)}


def _plain(schema: Any) -> Any:
    """The schema without what says nothing to a validator: inner titles, OpenAPI discriminators, `true`."""
    if isinstance(schema, list):
        return [_plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _plain(value) for key, value in schema.items() if not _is_idle(key, value)}


def _is_idle(key: str, value: Any) -> bool:
    return (
        (key == "title" and isinstance(value, str))
        or (key == "discriminator" and "propertyName" in value)
        or (key == "additionalProperties" and value is True)
    )


_INTRODUCTION = """# What a spec may say

<!-- generated from the models by `etl schema`; change those -->

One file of `specs/` describes one system; the file is named as the spec. Exactly one of `rest` and `python`
says how the system is read. Under `rest` stands dlt's own `RESTAPIConfig`, word for word; where dlt wants a
function, a spec names a public function of `sources/<name>.py`.

Only `true` and `false` are booleans and only JSON's numbers are numbers: `NO`, `on`, `1:30`, `2024-01-01`
and `007` stay text. A key is there with a value or not there at all. Secrets have no syntax: dlt looks them
up in `[sources.<name>.credentials]` of `.dlt/secrets.toml` or in `SOURCES__<NAME>__CREDENTIALS__…`.

Rows are merged by key or replaced; `append`, which is dlt's default, needs a reason in
`resources.<resource>.append_reason`.

Keys in **bold** are required.
"""


_OF_MODELS = """# What models/<spec>/models.yaml may say

Beside it stand the models, one SELECT each in `<name>.sql`, in DuckDB's dialect; the file may be absent.
"""


def _page(schema: dict[str, Any], models: dict[str, Any]) -> Iterator[str]:
    yield _INTRODUCTION
    yield from _section("A spec", schema)
    for name in _in_reading_order(schema):
        yield from _section(name, schema["$defs"][name])
    yield _OF_MODELS
    yield from _section("A models.yaml", models)
    for name in _in_reading_order(models):
        if name not in schema["$defs"]:
            yield from _section(name, models["$defs"][name])


def _section(title: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {title}", "", "| key | value | meaning |", "|---|---|---|")
    required = schema.get("required", ())
    for key, form in sorted(schema["properties"].items(), key=lambda item: item[0] not in required):
        name = f"**`{key}`**" if key in required else f"`{key}`"
        yield f"| {name} | {_value(form)} | {form.get('description', '')} |"
    yield ""


def _in_reading_order(schema: dict[str, Any]) -> list[str]:
    """The definitions, each after the first place that leads to it."""
    found: list[str] = []

    def visit(part: Any) -> None:
        for name in _references({**part, "$defs": {}}):
            if name not in found:
                found.append(name)
                visit(schema["$defs"][name])

    visit(schema)
    return found


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _references(item)
    elif isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"].rsplit("/", 1)[-1]
        for value in part.values():
            yield from _references(value)


def _value(form: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "$ref" in form:
        name = form["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in form:
        return " or ".join(_value(branch) for branch in form["oneOf"])
    if "const" in form:
        return f"`{form['const']}`"
    if "enum" in form:
        return ", ".join(f"`{word}`" for word in form["enum"])
    return _kind(form)


def _kind(form: dict[str, Any]) -> str:
    match form.get("type"):
        case "array":
            return f"list of {_value(form['items'])}" if form.get("items") else "list"
        case "object":
            patterns = form.get("patternProperties", {}).values()
            inner = form.get("additionalProperties") or next(iter(patterns), None)
            return f"mapping of name to {_value(inner)}" if inner else "mapping"
        case "string":
            return "text"
        case "integer":
            return "whole number"
        case "number":
            return "number"
        case "boolean":
            return "true or false"
    return "any value"
