"""What may stand under `rest:`, and how the functions it names are put in."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from dlt.common.data_types.typing import TDataType
from dlt.common.schema import typing as schema
from dlt.sources.rest_api.config_setup import AUTH_MAP, PAGINATOR_MAP

from pipelines.errors import UsageError
from pipelines.specs import rest_model, spec
from pipelines.specs import types as spec_types

ROOT = Path(__file__).resolve().parents[1]
REASONS = "resources: {a: {append_reason: events have no key}}\n"
NO_AUTH = "expected one of: bearer, api_key, http_basic, oauth2_client_credentials"
NO_SECRET = "secrets have no place in a spec; put it in [sources.x.credentials] of .dlt/secrets.toml"
NO_START = "its start is sent to the API, so it needs a first one; add initial_value"
NO_PATH = "expected a JSON path such as data.items or $.next"
NO_FUNCTION = "sources/x.py has no public function of that name"
NO_FUNCTION_NAME = "expected the name of a public function of the source"
NO_NUMBER = "expected a whole number, got text; write it without quotes"
NO_PAGINATOR = "expected one of: json_link, header_link, header_cursor, auto, single_page, cursor, page_number"
NO_TYPE = "expected one of: page_number, offset, header_link, header_cursor, json_link, cursor, auto, single_page"
MAP = ".processing_steps[0].map"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("specs", "sources"):
        (tmp_path / folder).mkdir()
    (tmp_path / "sources" / "x.py").write_text("def flatten(row): ...\ndef is_new(row): ...\ndef _hidden(row): ...\n")
    return tmp_path


def wrong(root: Path, text: str) -> list[str]:
    """The mistakes of a spec below its three first lines."""
    (root / "specs" / "x.yaml").write_text(f"name: x\nabout: x\nrest:\n{text}", encoding="utf-8")
    return [str(problem).removeprefix("specs/x.yaml:") for problem in spec.validate(root, ["x"])]


def near(word: str) -> str:
    return f" (did you mean '{word}'?)"


def spot(text: str, at: str, after: str) -> str:
    """Line and column of a fragment of the spec that `wrong` writes."""
    before = ("name: x\nabout: x\nrest:\n" + text).partition(after)
    head = before[0] + before[1] + before[2].partition(at)[0]
    return f"{head.count(chr(10)) + 1}:{len(head) - head.rfind(chr(10))}"


def client(more: str) -> str:
    return f"  client: {{base_url: https://example.org/v1, {more}}}\n  resources: [a]\n{REASONS}"


def resource(more: str) -> str:
    return f"  client: {{base_url: https://example.org/v1}}\n  resources:\n    - {more}\n{REASONS}"


def endpoint(more: str) -> str:
    return resource(f"{{name: a, endpoint: {more}}}")


@pytest.mark.parametrize(
    "more",
    [
        "headers: {User-Agent: etl}",
        "auth: bearer",
        "auth: api_key",
        "auth: http_basic",
        "auth: oauth2_client_credentials",
        "auth: {type: bearer}",
        "auth: {type: api_key, name: X-Key, location: query}",
        "auth: {type: http_basic}",
        "auth: {type: oauth2_client_credentials, access_token_url: https://example.org/token, client_id: me}",
        "paginator: auto",
        "paginator: single_page",
        "paginator: {type: single_page}",
        "paginator: page_number",
        "paginator: {type: page_number, base_page: 1, page_param: p, total_path: pages, maximum_page: 9}",
        "paginator: {type: offset, limit: 10, stop_after_empty_page: true, total_path: meta.total}",
        "paginator: header_link",
        "paginator: {type: header_link, links_next_key: next}",
        "paginator: {type: header_cursor, cursor_key: X-Next, cursor_param: after}",
        "paginator: {type: json_link, next_url_path: paging.next}",
        "paginator: {type: cursor, cursor_path: $.cursors.next, cursor_param: cursor}",
    ],
)
def test_a_right_client(root, more):
    assert wrong(root, client(more)) == []


@pytest.mark.parametrize(
    ("more", "at", "message"),
    [
        ("auth: bearr", "bearr", f".auth: {NO_AUTH} (did you mean 'bearer'?)"),
        ("auth: {type: bearr}", "bearr", f".auth.type: {NO_AUTH} (did you mean 'bearer'?)"),
        ("auth: {name: X-Key}", "auth", ".auth.type: missing; add it"),
        ("auth: {type: bearer, token: abc}", "token", f".auth.token: {NO_SECRET}"),
        ("auth: {type: http_basic, username: me}", "username", ".auth.username: unknown key"),
        ("auth: 5", "5", ".auth: expected text or a mapping, got the number 5"),
        ("headers: {Authorization: Bearer abc}", "Auth", f".headers.Authorization: {NO_SECRET}"),
        ("headers: {X-Version: 2}", "2", ".headers.X-Version: expected text, got the number 2; quote it"),
        ("paginator: {type: pagenumber}", "pagenumber", f".paginator.type: {NO_TYPE}" + near("page_number")),
        ("paginator: offset", "offset", f".paginator: {NO_PAGINATOR}"),
        ("paginator: {type: offset}", "paginator", ".paginator.limit: missing; add it"),
        (
            "paginator: {type: json_link, next_url: x}",
            "next",
            ".paginator.next_url: unknown key" + near("next_url_path"),
        ),
        ("session: x", "session", ".session: unknown key"),
    ],
)
def test_a_wrong_client(root, more, at, message):
    text = client(more)
    assert wrong(root, text) == [f"{spot(text, at, after='v1')}: rest.client{message}"]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("  {}\n", ["3:1: rest.client: missing; add it", "3:1: rest.resources: missing; add it"]),
        ("  client: {}\n  resources: [a]\n" + REASONS, ["4:3: rest.client.base_url: missing; add it"]),
        (
            "  client: {base_url: example.org}\n  resources: [a]\n" + REASONS,
            ["4:22: rest.client.base_url: expected an http(s) URL"],
        ),
        (
            "  client: {base_url: https://me:abc@example.org}\n  resources: [a]\n" + REASONS,
            [f"4:12: rest.client.base_url: {NO_SECRET}"],
        ),
        (
            "  client: {base_url: https://example.org}\n  resources: []\n",
            ["5:14: rest.resources: expected at least 1 item, got 0"],
        ),
    ],
)
def test_a_wrong_whole(root, text, messages):
    assert wrong(root, text) == messages


@pytest.mark.parametrize(
    "more",
    [
        "a",
        "{name: a}",
        "{name: a, endpoint: v1/a}",
        "{name: a, write_disposition: replace, max_table_nesting: 0, parallelized: false}",
        "{name: a, table_name: b, columns: {id: {data_type: bigint}}, schema_contract: {columns: freeze}}",
        "{name: a, primary_key: [id, day], merge_key: day, write_disposition: merge}",
        "{name: a, write_disposition: {disposition: merge, strategy: scd2}}",
        "{name: a, write_disposition: merge, columns: {id: {primary_key: true}}}",
        "{name: a, references: [{referenced_table: b, columns: [x], referenced_columns: [y]}]}",
        "{name: a, nested_hints: {a__labels: {primary_key: id}}}",
        "{name: a, processing_steps: [{map: flatten}, {filter: is_new}, {yield_map: flatten}]}",
    ],
)
def test_a_right_resource(root, more):
    text = resource(more)
    assert wrong(root, text.replace(REASONS, "") if "write_disposition" in more else text) == []


@pytest.mark.parametrize(
    ("more", "at", "message"),
    [
        ("5", "5", ": expected text or a mapping, got the number 5"),
        ("{endpoint: a}", "{", ".name: missing; add it"),
        ("{name: a, primery_key: id}", "prim", ".primery_key: unknown key" + near("primary_key")),
        (
            "{name: a, write_disposition: skip}",
            "skip",
            ".write_disposition: expected one of: append, replace, merge",
        ),
        ("{name: a, processing_steps: [{map: flaten}]}", "flat", f"{MAP}: {NO_FUNCTION}" + near("flatten")),
        ("{name: a, processing_steps: [{map: _hidden}]}", "_hid", f"{MAP}: {NO_FUNCTION_NAME}"),
        ("{name: a, processing_steps: [{map: 'lambda r: r'}]}", "'lam", f"{MAP}: {NO_FUNCTION_NAME}"),
    ],
)
def test_a_wrong_resource(root, more, at, message):
    text = resource(more)
    assert wrong(root, text) == [f"{spot(text, at, after='    - ')}: rest.resources[0]{message}"]


@pytest.mark.parametrize(
    "more",
    [
        "{path: v1/a, method: POST, json: {query: {text: '{{x}}', deep: [1, {a: b}]}}}",
        "{path: v1/a, method: POST, json: {token: '{{page}}'}, data_selector: '$.items[*]'}",
        "{params: {limit: 50, active: true, tags: [a, b], q: text}}",
        "{path: 'a/{day}', params: {day: monday}}",
        "{params: {since: {type: incremental, cursor_path: updated_at, convert: flatten}}}",
        "{params: {since: '{incremental.start_value}'}, incremental: {cursor_path: at, initial_value: 0}}",
        "{incremental: {cursor_path: at, initial_value: 0, start_param: a, end_param: to, lag: 60, row_order: desc}}",
        "{incremental: {cursor_path: at, last_value_func: min, on_cursor_value_missing: include}}",
        "{incremental: {cursor_path: at, range_start: open, range_end: closed, convert: flatten}}",
        "{response_actions: [{status_code: 404, action: ignore}, {content: gone, action: ignore}]}",
        "{response_actions: [flatten, {status_code: 200, action: [flatten, is_new]}, {action: flatten}]}",
        "{headers: {X-Day: 5}, auth: api_key, paginator: single_page}",
        "{json: {response_actions: [not_a_function]}}",
    ],
)
def test_a_right_endpoint(root, more):
    assert wrong(root, endpoint(more)) == []


@pytest.mark.parametrize(
    ("more", "at", "message"),
    [
        ("{method: get}", "get", "method: expected one of: GET, POST" + near("GET")),
        ("{data_selector: 'a['}", "'a[", f"data_selector: {NO_PATH}: Parse error near the end of string!"),
        ("{incremental: {lag: 0}}", "incr", "incremental.cursor_path: missing; add it"),
        (
            "{params: {a: {type: rsolve}}}",
            "rsol",
            "params.a.type: expected one of: resolve, incremental" + near("resolve"),
        ),
        ("{params: {b: {}}}", "b: ", "params.b.type: missing; add it"),
        ("{params: {api_key: abc}}", "api_key", f"params.api_key: {NO_SECRET}"),
        (
            "{response_actions: [{status_code: '404'}]}",
            "'404'",
            f"response_actions[0].status_code: {NO_NUMBER}",
        ),
        ("{response_actions: [nothing]}", "nothing", f"response_actions[0]: {NO_FUNCTION}"),
        ("{incremental: {cursor_path: at, convert: epoch}}", "epoch", f"incremental.convert: {NO_FUNCTION}"),
        (
            "{incremental: {cursor_path: at, lag: true}}",
            "true",
            "incremental.lag: expected a number, got the boolean true",
        ),
        (
            "{params: {since: '{incremental.start_value}'}, incremental: {cursor_path: at}}",
            "incremental: {",
            f"incremental: {NO_START}",
        ),
        ("{incremental: {cursor_path: at, start_param: since}}", "incremental", f"incremental: {NO_START}"),
        ("{params: {sent: {type: incremental, cursor_path: at}}}", "sent", f"params.sent: {NO_START}"),
    ],
)
def test_a_wrong_endpoint(root, more, at, message):
    text = endpoint(more)
    assert wrong(root, text) == [f"{spot(text, at, after='endpoint')}: rest.resources[0].endpoint.{message}"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("{path: 'a/{day}'}", "6:7: rest.resources[0]: dlt refuses it: The path 'a/{day}'"),
        ("{path: 'a/{resources.b.id}'}", "6:7: rest.resources[0]: dlt refuses it: A dependent resource 'a'"),
        ("{path: 'a/{'}", "3:1: rest: dlt refuses it: "),
        ("{params: {q: '{foo.bar}'}}", "3:1: rest: dlt refuses it: "),
        ("{paginator: {type: page_number, page_param: a, page_body_path: b}}", "3:1: rest: dlt refuses it: "),
    ],
)
def test_what_only_dlt_can_tell(root, more, message):
    [found] = wrong(root, endpoint(more))
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("resources", "hints", "messages"),
    [
        (
            "[a]",
            "{}",
            [
                "5:15: rest.resources[0].write_disposition: append, dlt's default, needs a reason; "
                "merge by primary_key, or say resources.a.append_reason"
            ],
        ),
        (
            "[{name: a, write_disposition: append}]",
            "{}",
            [
                "5:44: rest.resources[0].write_disposition: append needs a reason; "
                "merge by primary_key, or say resources.a.append_reason"
            ],
        ),
        ("[{name: a, write_disposition: append}]", "{a: {append_reason: events}}", []),
        ("[a]", "{a: {write_disposition: append, append_reason: events}}", []),
        (
            "[a]",
            "{a: {write_disposition: append}}",
            ["6:36: resources.a.write_disposition: append needs a reason; add append_reason, or merge by primary_key"],
        ),
        ("[a]", "{a: {write_disposition: merge, primary_key: id}}", []),
        ("[a]", "{a: {enabled: false}}", []),
        ("[{name: a, selected: false}]", "{}", []),
        (
            "[{name: a, write_disposition: merge}]",
            "{}",
            ["5:15: rest.resources[0].primary_key: merge needs a key; add primary_key"],
        ),
        (
            "[{name: a, write_disposition: replace}]",
            "{a: {append_reason: events}}",
            ["6:17: resources.a.append_reason: nothing is appended here; leave it out"],
        ),
        (
            "[{name: a, write_disposition: replace}, {name: a, write_disposition: replace}]",
            "{}",
            ["5:54: rest.resources[1]: a second resource 'a', first on line 5; rename one"],
        ),
        (
            "[{name: a, write_disposition: replace}]",
            "{b: {enabled: false}}",
            ["6:13: resources.b: no such resource; the source has: a"],
        ),
    ],
)
def test_how_rows_are_written(root, resources, hints, messages):
    text = f"  client: {{base_url: https://example.org}}\n  resources: {resources}\nresources: {hints}\n"
    assert wrong(root, text) == messages


def test_defaults_count(root):
    text = """\
  client: {base_url: https://example.org}
  resource_defaults: {write_disposition: merge, primary_key: id, endpoint: {params: {limit: 5}}}
  resources: [a, {name: b, endpoint: "a/{resources.a.id}/b", include_from_parent: [id]}]
"""
    assert wrong(root, text) == []


def test_functions_without_a_source(root):
    (root / "sources" / "x.py").unlink()
    assert wrong(root, resource("{name: a, processing_steps: [{map: flatten}]}")) == [
        "6:42: rest.resources[0].processing_steps[0].map: "
        "there is no sources/x.py; write it with a public function flatten"
    ]


def test_bind_puts_functions_in_and_leaves_the_config_alone():
    module = types.ModuleType("sources.x")
    module.flatten, module.is_new, module.ignore = (lambda row: row), (lambda row: True), print  # type: ignore[attr-defined]
    config: dict[str, Any] = {
        "client": {"base_url": "https://example.org", "headers": {"map": "flatten"}},
        "resource_defaults": {"processing_steps": [{"filter": "is_new"}]},
        "resources": [
            "a",
            {
                "name": "b",
                "processing_steps": [{"map": "flatten"}, {"yield_map": "flatten"}],
                "endpoint": {
                    "json": {"processing_steps": [{"map": "flatten"}]},
                    "incremental": {"cursor_path": "at", "convert": "flatten"},
                    "params": {
                        "since": {"type": "incremental", "cursor_path": "at", "convert": "flatten"},
                        "map": "x",
                    },
                    "response_actions": [
                        "flatten",
                        {"status_code": 404, "action": "ignore"},
                        {"action": ["flatten", "is_new"]},
                    ],
                },
            },
        ],
    }
    before = repr(config)
    bound = rest_model.bind(config, module)
    assert repr(config) == before
    b = bound["resources"][1]
    assert bound["client"] == config["client"]
    assert bound["resource_defaults"]["processing_steps"] == [{"filter": module.is_new}]
    assert b["processing_steps"] == [{"map": module.flatten}, {"yield_map": module.flatten}]
    assert b["endpoint"]["json"] == config["resources"][1]["endpoint"]["json"]
    assert b["endpoint"]["incremental"]["convert"] is module.flatten
    assert b["endpoint"]["params"]["since"]["convert"] is module.flatten
    assert b["endpoint"]["params"]["map"] == "x"
    assert b["endpoint"]["response_actions"] == [
        module.flatten,
        {"status_code": 404, "action": "ignore"},
        {"action": [module.flatten, module.is_new]},
    ]


@pytest.mark.parametrize("name", ["missing", "_hidden", "number"])
def test_bind_refuses_what_is_no_public_function(name):
    module = types.ModuleType("sources.x")
    module._hidden, module.number = print, 5  # type: ignore[attr-defined]
    config = {"resources": [{"name": "a", "processing_steps": [{"map": name}]}]}
    with pytest.raises(UsageError) as caught:
        rest_model.bind(config, module)
    assert str(caught.value) == f"sources/x.py: no public function {name}; write it, or correct the spec"
    with pytest.raises(UsageError, match="there is no source module: no public function"):
        rest_model.bind(config, None)


def names_of(model: Any) -> set[str]:
    return set(model.keys())


def test_the_words_of_the_envelope_are_those_of_dlt():
    internal = {"name", "x-normalizer", "row_key", "parent_key", "root_key", "variant", "incremental"}
    assert set(get_args(spec_types.DataType)) == set(get_args(TDataType))
    losing_rows = {"discard_row", "discard_value"}
    assert set(get_args(spec_types.Mode)) == set(get_args(schema.TSchemaEvolutionMode)) - losing_rows
    assert names_of(spec_types.Column) == set(get_type_hints(schema.TColumnSchema)) - internal
    assert names_of(spec_types.Contract) == set(get_type_hints(schema.TSchemaContractDict))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (spec_types.DeleteInsert, schema.TDeleteInsertStrategyDict),
        (spec_types.Upsert, schema.TUpsertStrategyDict),
        (spec_types.InsertOnly, schema.TMergeDispositionDict),
        (spec_types.Cdc, schema.TCdcStrategyDict),
        (spec_types.Scd2, schema.TScd2StrategyDict),
    ],
)
def test_merge_strategies_are_those_of_dlt(ours, theirs):
    assert names_of(ours) == set(get_type_hints(theirs))
    assert get_args(ours.model_fields["strategy"].annotation)[0] in schema.MERGE_STRATEGIES


def test_every_paginator_and_every_auth_of_dlt_can_be_named(root):
    needs = {"offset": ", limit: 5"}
    for name in set(PAGINATOR_MAP) - {"json_response"}:
        assert wrong(root, client(f"paginator: {{type: {name}{needs.get(name, '')}}}")) == [], name
        usable = not PAGINATOR_MAP[name] or not needs.get(name)
        assert bool(wrong(root, client(f"paginator: {name}"))) is not usable, name
    for name in AUTH_MAP:
        assert wrong(root, client(f"auth: {{type: {name}}}")) == [], name
    assert wrong(root, client("paginator: json_response")) != []
