"""The generated files are fresh, and the JSON Schema says what the validator says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.specs import rest_model, schema, spec, yaml_marks

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = schema.json_schema()
SAID = {
    *("$schema", "$defs", "$ref", "title", "description", "type", "enum", "const", "properties", "required"),
    *("items", "additionalProperties", "patternProperties", "minItems", "maxItems", "oneOf", "if", "then"),
    *("pattern", "maxLength", "minimum", "maximum"),
}
TYPES = {
    "string": str,
    "array": list,
    "object": dict,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def fits(value: Any, form: dict[str, Any]) -> bool:
    """Whether a value fits the schema, for the keywords that the schema uses."""
    if "$ref" in form:
        return fits(value, SCHEMA["$defs"][form["$ref"].removeprefix("#/$defs/")])
    return (
        of_type(value, form)
        and ("const" not in form or value == form["const"])
        and ("enum" not in form or value in form["enum"])
        and ("oneOf" not in form or sum(fits(value, branch) for branch in form["oneOf"]) == 1)
        and ("if" not in form or not fits(value, form["if"]) or fits(value, form["then"]))
        and (not isinstance(value, str) or text_fits(value, form))
        and (not isinstance(value, int) or form.get("minimum", value) <= value <= form.get("maximum", value))
        and (not isinstance(value, list) or list_fits(value, form))
        and (not isinstance(value, dict) or mapping_fits(value, form))
    )


def of_type(value: Any, form: dict[str, Any]) -> bool:
    names = form.get("type", [])
    kinds = [TYPES[name] for name in ([names] if isinstance(names, str) else names)]
    if isinstance(value, bool):
        return not kinds or bool in kinds
    return not kinds or any(isinstance(value, kind) for kind in kinds)


def text_fits(value: str, form: dict[str, Any]) -> bool:
    return bool(re.search(form.get("pattern", ""), value)) and len(value) <= form.get("maxLength", len(value))


def list_fits(value: list[Any], form: dict[str, Any]) -> bool:
    size = form.get("minItems", 0) <= len(value) <= form.get("maxItems", len(value))
    return size and all(fits(item, form.get("items", {})) for item in value)


def mapping_fits(value: dict[str, Any], form: dict[str, Any]) -> bool:
    known, patterns = form.get("properties", {}), form.get("patternProperties", {})
    others = form.get("additionalProperties", {})
    return set(form.get("required", [])) <= set(value) and all(
        fits(item, form_of(key, known, patterns, others)) for key, item in value.items()
    )


def form_of(key: str, known: dict[str, Any], patterns: dict[str, Any], others: Any) -> dict[str, Any]:
    named = known.get(key) or next((form for pattern, form in patterns.items() if re.search(pattern, key)), None)
    return named or ({"enum": []} if others is False else others)


def forms(part: Any) -> list[dict[str, Any]]:
    """Every schema inside a schema."""
    if isinstance(part, list):
        return [form for item in part for form in forms(item)]
    if not isinstance(part, dict):
        return []
    inner = [part.get(key) for key in ("items", "additionalProperties", "oneOf", "if", "then")]
    named = [form for key in ("properties", "$defs", "patternProperties") for form in part.get(key, {}).values()]
    return [part, *forms([*inner, *named])]


def test_the_checker_knows_every_keyword_of_the_schema():
    assert {keyword for form in forms(SCHEMA) for keyword in form} == SAID


ENVELOPE = "name: x\nabout: x\n"
PYTHON = ENVELOPE + "python: {}\n"
REST = ENVELOPE + "rest:\n  client: {base_url: https://example.org}\n"


def hints(text: str) -> str:
    return f"{PYTHON}resources: {{a: {{{text}}}}}\n"


def endpoint(text: str) -> str:
    return f"{REST}  resources: [{{name: a, write_disposition: replace, endpoint: {{{text}}}}}]\n"


RIGHT = [
    PYTHON,
    ENVELOPE + "python: {a: 1, b: [x], c: {d: true}}\ndocs: https://example.org/a\nschedule: 1 2 3 4 5\n",
    hints("write_disposition: append, append_reason: x"),
    hints("write_disposition: {disposition: merge, strategy: cdc}, columns: {b: {}}"),
    hints("primary_key: [b], schema_contract: {tables: freeze}, enabled: false"),
    *(
        f"{PYTHON}checks: [{{{text}}}]\n"
        for text in (
            "not_null: a.b",
            "unique: [a.b, a.c], where: x > 1",
            "relationship: a.b, to: a.c, severity: warn",
            "accepted: a.b, values: [1, x, true]",
            "range: a.b, max: 1.5",
            "row_count: a, drop_at_most: 10%",
            "fresh: a.b, within: 2w",
            "sql: x.sql, name: y",
        )
    ),
    hints("coverage: {by: month, column: b, since: 2024-01-31, until: 2024-03-01, settle: 12h}"),
    hints("coverage: {by: day, column: b, since: 2024-01-31, per: {columns: [c, d], argument: e}}"),
    hints("coverage: {by: item, column: b, of: c.d__e, argument: f}"),
    endpoint("path: a"),
    endpoint("params: {a: 1, b: x, c: [1]}"),
    endpoint("params: {a: {type: incremental, cursor_path: b, initial_value: 1}}"),
    endpoint("paginator: {type: offset, limit: 5}"),
    endpoint("auth: {type: api_key}, json: {a: [1]}"),
    endpoint("response_actions: [{status_code: 404, action: ignore}]"),
]
WRONG = [
    "name: x\npython: {}\n",
    ENVELOPE,
    PYTHON + "rest: {}\n",
    ENVELOPE + "python: []\n",
    PYTHON + "aboot: x\n",
    PYTHON + "docs: example.org\n",
    PYTHON + "schedule: '@daily'\n",
    PYTHON + "dataset: A-b\n",
    PYTHON + "timezone: 5\n",
    "name: X\nabout: x\npython: {}\n",
    "name: x\nabout: ''\npython: {}\n",
    hints("write_disposition: append"),
    hints("write_disposition: skip"),
    hints("write_disposition: {disposition: merge}"),
    hints("write_disposition: {disposition: merge, strategy: upsert, deduplicated: true}"),
    hints("primary_key: []"),
    hints("primary_key: 5"),
    hints("columns: {b: {data_type: txt}}"),
    hints("columns: {b: {precision: true}}"),
    hints("schema_contract: frozen"),
    hints("enabled: yes"),
    *(
        f"{PYTHON}checks: [{{{text}}}]\n"
        for text in (
            "not_null: a",
            "unique: []",
            "unique: a.b, severity: bad",
            "relationship: a.b",
            "accepted: a.b, values: []",
            "range: a.b, min: [1]",
            "row_count: a.b, min: 1",
            "row_count: a, drop_at_most: 10",
            "fresh: a.b, within: 2 weeks",
            "sql: x",
            "uniqe: a.b",
            "unique: a.b, not_null: a.b",
        )
    ),
    hints("coverage: {by: week, column: b, since: 2024-01-31}"),
    hints("coverage: {by: day, column: b, since: 31.01.2024}"),
    hints("coverage: {by: day, column: b, since: 2024-01-31, settle: 2 days}"),
    hints("coverage: {by: item, column: b, of: c}"),
    hints("coverage: {by: item, column: b, since: 2024-01-31}"),
    ENVELOPE + "rest: {resources: [a]}\n",
    REST + "  resources: []\n",
    REST + "  resources: [{primary_key: a}]\n",
    REST + "  resources: [{name: a, primery_key: a}]\n",
    REST + "  resources: [{name: a, processing_steps: [{map: 'lambda: 1'}]}]\n",
    endpoint("method: PUT"),
    endpoint("paginator: offset"),
    endpoint("paginator: {type: offset}"),
    endpoint("paginator: {type: json_response}"),
    endpoint("auth: {type: bearer, token: abc}"),
    endpoint("auth: {name: a}"),
    endpoint("params: {a: {type: other}}"),
    endpoint("incremental: {initial_value: 1}"),
    endpoint("response_actions: [{status_code: 5}]"),
]


@pytest.mark.parametrize(("text", "right"), [*((t, True) for t in RIGHT), *((t, False) for t in WRONG)])
def test_schema_and_validator_agree(tmp_path, text, right):
    for folder in ("specs", "sources"):
        (tmp_path / folder).mkdir()
    (tmp_path / "sources" / "x.py").write_text("import dlt\n@dlt.source\ndef x(**anything): ...\n")
    (tmp_path / "specs" / "x.yaml").write_text(text)
    found = [problem for problem in spec.validate(tmp_path, ["x"]) if "no such resource" not in problem.message]
    assert (found == []) is right, found
    assert fits(yaml_marks.parse(text, "x").data, SCHEMA) is right


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_fits_and_names_its_schema(path):
    text = path.read_text(encoding="utf-8")
    assert spec.validate(ROOT, [path.stem]) == []
    assert fits(yaml_marks.parse(text, "x").data, SCHEMA)
    assert text.startswith("# yaml-language-server: $schema=spec.schema.json\n")


def test_the_generated_files_are_fresh():
    assert not schema.is_stale(ROOT), "run `etl schema`"


def test_write_and_is_stale(tmp_path):
    home = tmp_path / "a workspace"
    assert schema.is_stale(home)
    written = schema.write(home)
    assert [path.relative_to(home).as_posix() for path in written] == [
        "specs/spec.schema.json",
        "models/models.schema.json",
        "docs/spec.md",
        "docs/sources.md",
    ]
    assert not schema.is_stale(home)
    assert json.loads(written[0].read_text("utf-8")) == schema.json_schema()
    written[2].write_text(written[2].read_text("utf-8") + "\n")
    assert schema.is_stale(home)


def test_the_schema_is_small_and_of_the_draft_it_names():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert len(json.dumps(SCHEMA, indent=1)) < 65_000


def test_every_key_says_what_it_means():
    models = schema.models_schema()
    defined = [SCHEMA, *SCHEMA["$defs"].values(), models, models["$defs"]["ModelWords"]]
    silent = [key for form in defined for key, inner in form["properties"].items() if not inner.get("description")]
    assert silent == []


def test_the_reference_names_every_key():
    page = schema.reference()
    for name, form in [("A spec", SCHEMA), *SCHEMA["$defs"].items()]:
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert all(f"`{key}`" in section for key in form["properties"]), name
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", page, re.M)}
    assert set(re.findall(r"\]\(#(\w+)\)", page)) == headings


def blocks() -> list[Any]:
    """The YAML blocks of README and docs that are whole specs."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = []
    for page in (page for page in pages if page.is_file()):
        for text in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            data = yaml.safe_load(text)
            if isinstance(data, dict) and {"name", "about"} <= set(data):
                found.append(pytest.param(data["name"], text, id=f"{page.name}-{data['name']}"))
    return found


@pytest.mark.parametrize(("name", "text"), blocks())
def test_the_specs_in_the_documentation_are_right(tmp_path, name, text):
    (tmp_path / "specs").mkdir()
    (tmp_path / "sources").symlink_to(ROOT / "sources")
    (tmp_path / "specs" / f"{name}.yaml").write_text(text, encoding="utf-8")
    assert spec.validate(tmp_path, [name]) == []


def test_the_rest_model_is_built_once():
    assert rest_model.model() is rest_model.model()
