"""What the guard takes out of a stream: values no column takes, names that meet, cursors that cannot be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from pipelines.rows.intake import shown
from tests.passwords import ask
from tests.scripted_server import reply, serving
from tests.test_bad_input import SPEC, module, quarantine, run
from tests.workspace import Workspace

SOURCE = '''\
"""Rows that a test wrote down as Python."""

import datetime
from decimal import Decimal

import dlt
import pyarrow as pa

NAN, INF = float("nan"), float("inf")


@dlt.source(name="toy", section="toy"{source})
def toy():
    @dlt.resource({hints})
    def things({cursor}):
        {body}

    return things
'''
KEYED = 'primary_key="id", write_disposition="merge"'


@pytest.fixture
def toy(workspace):
    """A workspace with the spec `toy` and no source yet."""
    made = workspace()
    made.write("specs/toy.yaml", SPEC)
    return made


def yields(workspace: Workspace, *pages: str, columns: Mapping[str, Any] | None = None, **more: str) -> None:
    """Write a source that yields these expressions."""
    hints = f"{more.get('hints', KEYED)}, columns={dict(columns or {})!r}"
    body = "\n        ".join(f"yield {page}" for page in pages)
    module(
        workspace, SOURCE.format(body=body, hints=hints, cursor=more.get("cursor", ""), source=more.get("source", ""))
    )


def reasons(workspace: Workspace, env: str = "test") -> set[str]:
    return {entry["reason"] for entry in quarantine(workspace, env)}


TYPES: dict[str, dict[str, Any]] = {
    "money": {"data_type": "decimal"},
    "price": {"data_type": "decimal", "precision": 6, "scale": 2},
    "gas": {"data_type": "wei"},
    "big": {"data_type": "bigint"},
    "tiny": {"data_type": "bigint", "precision": 8},
    "small": {"data_type": "bigint", "precision": 16},
    "half": {"data_type": "bigint", "precision": 32},
    "ratio": {"data_type": "double"},
    "at": {"data_type": "timestamp"},
    "day": {"data_type": "date"},
    "clock": {"data_type": "time"},
    "blob": {"data_type": "binary"},
    "code": {"data_type": "text", "precision": 3},
    "flag": {"data_type": "bool"},
    "note": {"data_type": "text"},
    "doc": {"data_type": "json"},
}
DECIMAL, PRICE = (
    "decimal of at most 29 digits before and 9 after the point",
    "decimal of at most 4 digits before and 2 after the point",
)
MISFITS = [
    ("money", "'0.12345678901'", f"'0.12345678901' is not a {DECIMAL}"),
    ("money", "'1E-20'", f"'1E-20' is not a {DECIMAL}"),
    ("money", "Decimal('NaN')", f"Decimal('NaN') is not a {DECIMAL}"),
    ("money", "Decimal('Infinity')", f"Decimal('Infinity') is not a {DECIMAL}"),
    ("money", "NAN", f"nan is not a {DECIMAL}"),
    ("money", "INF", f"inf is not a {DECIMAL}"),
    ("money", "1e30", f"1e+30 is not a {DECIMAL}"),
    ("money", "'x'", f"'x' is not a {DECIMAL}"),
    ("price", "'1.005'", f"'1.005' is not a {PRICE}"),
    ("price", "10000", f"10000 is not a {PRICE}"),
    ("gas", "1.5", "1.5 is not a wei of at most {wei} digits before and {wei_scale} after the point"),
    ("big", "1e19", "1e+19 is not a bigint"),
    ("big", "'99999999999999999999'", "'99999999999999999999' is not a bigint"),
    ("big", "2.5", "2.5 is not a bigint"),
    ("tiny", "4242", "4242 is not a bigint of 8 bits"),
    ("small", "'42424'", "'42424' is not a bigint of 16 bits"),
    ("half", "2**31", "2147483648 is not a bigint of 32 bits"),
    ("ratio", "NAN", "nan is not a double"),
    ("at", "1e17", "1e+17 is not a timestamp"),
    ("at", "'0001-01-01T00:00:00+14:00'", "'0001-01-01T00:00:00+14:00' is not a timestamp"),
    ("at", "'9999-12-31T23:59:59-14:00'", "'9999-12-31T23:59:59-14:00' is not a timestamp"),
    ("at", "'2024-13-01T00:00:00Z'", "'2024-13-01T00:00:00Z' is not a timestamp"),
    ("day", "20240101", "20240101 is not a date"),
    ("day", "1.5", "1.5 is not a date"),
    ("day", "'someday'", "'someday' is not a date"),
    ("clock", "5", "5 is not a time"),
    ("clock", "'25:00'", "'25:00' is not a time"),
    ("blob", "'no base64'", "'no base64' is not a binary"),
    ("blob", "-7", "-7 is not a binary"),
    ("code", "'four'", "'four' is not a text of at most 3 characters"),
    ("code", "1234", "1234 is not a text of at most 3 characters"),
    ("flag", "7", "7 is not a bool"),
    ("flag", "NAN", "nan is not a bool"),
    ("note", "NAN", "nan is not a text"),
    ("note", "-INF", "-inf is not a text"),
    ("doc", "NAN", "nan is not a json"),
    ("doc", "'\"x\"'", "'\"x\"' is not a json"),
    ("doc", "'\"3\"'", "'\"3\"' is not a json"),
    ("doc", "'null'", "'null' is not a json"),
]  # fmt: skip
FITTING = (
    "{'id': 1, 'money': 0.1, 'price': '1234.50', 'gas': 5, 'big': 2.0, 'tiny': -128, 'small': '4242', 'half': 7,"
    " 'ratio': 1, 'at': '0001-01-02T00:00:00Z', 'day': '2024-02-29', 'clock': '10:00', 'blob': 'YWJj', 'code': 'abc',"
    " 'flag': 1, 'note': 1.5, 'doc': '[1]'},"
    " {'id': 2, 'money': Decimal('1.1000000000000'), 'price': 5, 'at': 1700000000, 'day': datetime.date(2024, 1, 1),"
    " 'clock': datetime.time(1, 2), 'blob': b'abc', 'code': 12, 'flag': 'yes', 'ratio': '0.5', 'gas': '7',"
    " 'doc': 'plain'}, {'id': 3, 'doc': 5}"
)
STORED = [
    ("0.100000000", 1234.5, 5, 2, -128, "1.5", "[1]", None, None),
    ("1.100000000", 5, 7, None, None, None, None, "plain", None),
    (None, None, None, None, None, None, None, None, 5),
]
STORED_SQL = (
    "SELECT CAST(money AS VARCHAR), CAST(price AS FLOAT), CAST(gas AS BIGINT), big, tiny, note, CAST(doc AS VARCHAR),"
    " doc__v_text, doc__v_bigint FROM toy.things ORDER BY id"
)


@pytest.mark.parametrize(("env", "wei"), [("test", (38, 0)), ("pg", (76, 0))])
def test_a_value_that_the_declared_column_cannot_hold(toy, request, env, wei):
    if env == "pg":
        url = request.getfixturevalue("postgres_url")
        toy.postgres(url)
    bad = ", ".join(f"{{'id': {n}, '{column}': {value}}}" for n, (column, value, _) in enumerate(MISFITS, 10))
    yields(toy, f"[{FITTING}, {bad}]", columns=TYPES)
    result = run(toy, env=env)
    assert (result.code, result.err) == (3, "")
    expected = {f"{column}: {said.format(wei=wei[0], wei_scale=wei[1])}" for column, _, said in MISFITS}
    assert reasons(toy, env) == expected
    assert (ask(url, STORED_SQL) if env == "pg" else toy.query(STORED_SQL)) == STORED


UNDECLARED = [
    ("of the same run", "1", "1e19", "n: 1e+19 is not a bigint"),
    ("as text", "1", "'99999999999999999999'", "n: '99999999999999999999' is not a bigint"),
    ("a decimal", "Decimal('1.5')", "'0.12345678901'", f"n: '0.12345678901' is not a {DECIMAL}"),
    ("the end of time", "'2024-01-01T00:00:00Z'", "'9999-12-31T23:59:59-14:00'",
     "n: '9999-12-31T23:59:59-14:00' is not a timestamp"),
    ("alone", "None", "'0001-01-01T00:00:00+14:00'", "n: '0001-01-01T00:00:00+14:00' is not a timestamp"),
    ("a variant", "1", "'0001-01-01T00:00:00+14:00'", "n: '0001-01-01T00:00:00+14:00' is not a timestamp"),
    ("a zone of a day", "'2024-01-01T00:00:00Z'", "'2024-01-01T00:00:00+24:00'",
     "n: '2024-01-01T00:00:00+24:00' is not a timestamp"),
    ("such a zone alone", "None", "'2024-01-01T00:00:00-9900'", "n: '2024-01-01T00:00:00-9900' is not a timestamp"),
    ("such a zone in a variant", "1", "'2024-01-01T00:00:00+23:60'",
     "n: '2024-01-01T00:00:00+23:60' is not a timestamp"),
    ("a day", "datetime.date(2024, 1, 1)", "20240101", "n: 20240101 is not a date"),
]  # fmt: skip


@pytest.mark.parametrize("loaded", [False, True], ids=["new", "loaded"])
def test_a_value_that_would_end_the_load_of_an_undeclared_column(toy, loaded):
    """The type comes from the first value, of this run or of an earlier one, in nested tables as well."""
    first = [f"{{'id': {n}, 'n{n}': {one}, 'in{n}': [{{'n': {one}}}]}}" for n, (_, one, _, _) in enumerate(UNDECLARED)]
    then = [
        f"{{'id': 1{n}, 'n{n}': {two}}}, {{'id': 2{n}, 'in{n}': [{{'n': {two}}}]}}"
        for n, (_, _, two, _) in enumerate(UNDECLARED)
    ]
    if loaded:
        yields(toy, f"[{', '.join(first)}]")
        assert run(toy).code == 0
    yields(toy, f"[{', '.join([] if loaded else first)}]", f"[{', '.join(then)}, {{'id': 99}}]")
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    expected = {text.replace("n:", f"n{n}:", 1) for n, (*_, text) in enumerate(UNDECLARED)}
    assert reasons(toy) == expected | {text for *_, text in UNDECLARED}
    assert toy.query("SELECT count(*) FROM toy.things") == [(len(UNDECLARED) + 1,)]


@pytest.mark.parametrize("loaded", [False, True], ids=["new", "loaded"])
def test_a_variant_has_the_type_of_its_first_value(toy, loaded):
    """What dlt will take a text for depends on the first text of the column, of this run or of an earlier one."""
    first = "[{'id': 1, 'w': 1}, {'id': None, 'w': 'refused'}, {'id': 2, 'w': '2024-05-01T10:00:00Z'}]"
    more = "[{'id': 3, 'w': 'hello'}, {'id': 4, 'w': '2024-05-02T10:00:00Z'}, {'id': 5, 'w': 5}, {'id': 6, 'w': True}]"
    if loaded:
        yields(toy, first)
        assert run(toy).code == 3
    yields(toy, *([] if loaded else [first]), more)
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    assert reasons(toy) == {"id: is missing or null, and must not be", "w: 'hello' is not a timestamp"}
    assert toy.query("SELECT id, w, day(w__v_text), w__v_bool FROM toy.things ORDER BY id") == [
        (1, 1, None, None), (2, None, 1, None), (4, None, 2, None), (5, 5, None, None), (6, None, None, True),
    ]  # fmt: skip


def test_a_row_that_is_refused_teaches_no_type(toy):
    columns = {"amount": {"data_type": "double"}}
    yields(toy, "[{'id': 1, 'amount': 'x'}, {'id': 'a'}, {'id': 'b'}]", columns=columns)
    assert run(toy).code == 3
    assert toy.query("SELECT id FROM toy.things ORDER BY id") == [("a",), ("b",)]


NAMES = [
    ("{'a__b': 1, 'a': {'b': 2}}", "a__b: 'a__b' and 'a.b' both become this column"),
    ("{'x': {'Foo': 1, 'foo': 2}}", "x__foo: 'x.Foo' and 'x.foo' both become this column"),
    ("{'l': [{'o': 1}, {'A': 1, 'a': 2}]}", "a: 'l.*.A' and 'l.*.a' both become this column"),
    ("{'m': [[{'c__d': 1, 'c': {'d': 2}}]]}", "c__d: 'm.*.list.*.c__d' and 'm.*.list.*.c.d' both become this column"),
    ("{'_dlt_id': 'x'}", "the name '_dlt_id' belongs to dlt"),
    ("{'_DLT_Load_Id': None}", "the name '_DLT_Load_Id' belongs to dlt"),
    ("{'l': [{'_dlt_parent_id': 'x'}]}", "l.*: the name '_dlt_parent_id' belongs to dlt"),
    ("{'l': [{'_dlt_list_idx': 1}]}", "l.*: the name '_dlt_list_idx' belongs to dlt"),
    ("{'o': {'_dlt_root_id': 1}}", "o: the name '_dlt_root_id' belongs to dlt"),
]  # fmt: skip
UNLIKE = [
    "{'id': 1, 'a__b': 1}", "{'id': 2, 'a': {'b': 2}}", "{'id': 3, 'x': {'foo': 1}}", "{'id': 4, 'x': {'Foo': 1}}",
    "{'id': 5, 'raw': {'Foo': 1, 'foo': 2, '_dlt_id': 3}}", "{'id': 6, 'A': {'p': 1}, 'a': {'q': 1}}",
    "{'id': 7, 'l': [{'a': 1}, {'A': 2}], 'm': [[1], [2]], 's': ['x', None, 5]}",
]  # fmt: skip


def test_names_that_meet_in_one_column_or_belong_to_dlt(toy):
    bad = [f"{{'id': {n}, **{row}}}" for n, (row, _) in enumerate(NAMES, 10)]
    yields(toy, f"[{', '.join(UNLIKE[:2] + bad + UNLIKE[2:])}]", columns={"raw": {"data_type": "json"}})
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    assert reasons(toy) == {reason for _, reason in NAMES}
    assert toy.query("SELECT id, a__b, x__foo FROM toy.things ORDER BY id") == [
        (1, 1, None), (2, 2, None), (3, None, 1), (4, None, 1), (5, None, None), (6, None, None), (7, None, None),
    ]  # fmt: skip


CURSOR_SOURCE = '''\
"""One table per cursor."""

import datetime

import dlt

NAN = float("nan")


def read(rows, at):
    yield rows


@dlt.source(name="toy", section="toy")
def toy():
    {resources}
'''
CURSOR = (
    "yield dlt.resource(lambda at=dlt.sources.incremental({path}): iter([[{rows}]]), name={name!r}, "
    "primary_key='id', write_disposition='merge')()"
)
DATE = "datetime.datetime(2024, 1, {}, tzinfo=datetime.timezone.utc)"
CURSORS: list[tuple[str, str, str, list[str], list[str], Any]] = [
    ("plain", "'at', initial_value=5", "'at': {}", ["6", "7"], ["None", "'x'", "{'a': 1}", "NAN"], 7),
    ("unseen", "'at'", "'at': {}", ["6", "7"], ["None", "'x'", "[1]", "{'a': 1}"], 7),
    ("dotted", "'commit.date'", "'commit': {{'date': {}}}", ["'a'", "'b'"], ["None", "5"], "b"),
    ("path", "'$.a.b'", "'a': {{'b': {}}}", ["1.5", "2.5"], ["None", "'x'", "NAN"], 2.5),
    ("smallest", "'at', last_value_func=min", "'at': {}", ["7", "6"], ["None", "'x'"], 6),
    ("function", "'at', last_value_func=lambda v: max(v, key=int)", "'at': {}", ["'9'", "'10'"], ["None", "'x'"], "10"),
    ("moment", "'at', initial_value=datetime.datetime(2024, 1, 1)", "'at': {}", [DATE.format(2), DATE.format(3)],
     ["'2024-01-04'", "datetime.datetime(2024, 1, 4)"], "2024-01-03 00:00:00+00:00"),
    ("included", "'at', on_cursor_value_missing='include'", "'at': {}", ["6", "None", "7"], ["'x'"], 7),
    ("excluded", "'at', on_cursor_value_missing='exclude'", "'at': {}", ["6", "7"], ["'x'"], 7),
]  # fmt: skip


def cursor_source() -> str:
    made = []
    for name, path, place, good, bad, _ in CURSORS:
        values = [good[0], *bad, *good[1:], *(["None"] if name == "excluded" else [])]
        rows = [f"{{'id': {n}, {place.format(value)}}}" for n, value in enumerate(values)]
        missing = [] if name in ("included", "excluded") else ["{'id': 99}"]
        made.append(CURSOR.format(path=path, rows=", ".join([*rows, *missing]), name=name))
    return CURSOR_SOURCE.format(resources="\n    ".join(made))


def test_a_cursor_that_cannot_be_compared(toy):
    module(toy, cursor_source())
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    found = Counter(entry["resource"] for entry in quarantine(toy))
    for name, _, _, good, bad, last in CURSORS:
        assert (name, found[name]) == (name, len(bad) + (name not in ("included", "excluded")))
        assert (name, toy.query(f'SELECT count(*) FROM toy."{name}"')) == (name, [(len(good),)])
        assert last_values(toy)[name] == last
    assert run(toy).code == 3


def last_values(workspace: Workspace, spec: str = "toy") -> dict[str, Any]:
    """Where the cursors of a spec stand, by resource; each has one."""
    state = workspace.etl("state", "show", spec, "--env", "test", "--output", "json").json["state"]
    return {
        name: next(iter(resource["incremental"].values()))["last_value"]
        for name, resource in state["resources"].items()
        if "incremental" in resource
    }


REST = """\
name: shop
about: Commits with a cursor deep in each.
rest:
  client: {base_url: "http://127.0.0.1:9/", paginator: single_page}
  resources:
    - name: commits
      write_disposition: merge
      primary_key: id
      endpoint:
        path: commits
        params: {since: "{incremental.start_value}"}
        incremental: {cursor_path: commit.author.date, initial_value: "2024-01-01T00:00:00Z"}
"""


def test_a_rest_row_whose_cursor_cannot_be_compared(workspace):
    made = workspace()
    made.write("specs/shop.yaml", REST)
    dates = ["2024-01-02T00:00:00Z", None, 5, "2024-01-03T00:00:00Z"]
    commits = [{"id": n, "commit": {"author": {"date": date}}} for n, date in enumerate(dates)]
    with serving(lambda _: reply(body=[*commits, {"id": 9, "commit": {"author": None}}, {"id": 10}])) as server:
        settings = {"SOURCES__SHOP__BASE_URL": f"{server.url}/"}
        results = [made.etl("run", "shop", "--env", "test", **settings) for _ in range(2)]
    assert [(result.code, result.err) for result in results] == [(3, ""), (3, "")]
    assert len(quarantine(made)) == 4
    assert reasons(made) == {
        "commit.author.date: is missing or null, and must not be",
        "commit.author.date: 5 cannot be compared with the values before it",
    }
    assert made.query("SELECT id FROM shop.commits ORDER BY id") == [(0,), (3,)]
    assert last_values(made, "shop") == {"commits": "2024-01-03T00:00:00Z"}
    assert server.paths == ["/commits?since=2024-01-01T00%3A00%3A00Z", "/commits?since=2024-01-03T00%3A00%3A00Z"]


FEEDERS = '''\
"""Parents that only feed their children, and one child each."""

import dlt
from sources.kit import notices


def fed(name, pages, hints, make, key=None):
    cursor = dlt.sources.incremental(key, initial_value=0) if key else None
    parent = dlt.resource(lambda at=cursor: iter(pages), name=f"of_{{name}}", selected=False, **hints)
    return parent, dlt.transformer(make, data_from=parent, name=name, primary_key="id", write_disposition="merge")


def each(page):
    yield [{{"id": str(item)}} for item in page]


def alone(item):
    yield {{"id": item if isinstance(item, (str, int)) else repr(item)}}


@dlt.source(name="toy", section="toy")
def toy():
    {resources}
'''
Case = tuple[str, str, str, list[tuple[Any, ...]], list[str]]
"""A table, what makes it, the columns to look at, the rows they hold and why others were refused."""

GONE = "is missing or null, and must not be"
FEEDING: list[Case] = [
    ("texts", "[['erik', 'hikaru']], dict(write_disposition='replace'), each", "id", [("erik",), ("hikaru",)], []),
    ("lists", "[[[1, 2]]], {}, each", "id", [("[1, 2]",)], []),
    ("tuples", "[('a', 1), ('b', 2)], {}, alone", "id", [("('a', 1)",), ("('b', 2)",)], []),
    ("wide", "[7, 2**70], {}, lambda n: alone(str(n))", "id", [("1180591620717411303424",), ("7",)], []),
    ("unlike", "[[{'a': 1, 'A': 2}, {'_dlt_id': {1, 2}}]], dict(primary_key='id'), each", "id",
     [("{'_dlt_id': {1, 2}}",), ("{'a': 1, 'A': 2}",)], []),
    ("record", "[{'a': 1}], {}, alone", "id", [("{'a': 1}",)], []),
    ("noticed", "[[notices.rejected({'a': 1}, 'bad', 'here'), 'b']], {}, each", "id", [("b",)], ["bad"]),
    ("placed", "[[{'t': 5}, {'t': 'x'}, {}]], {}, each, 't'", "id", [("{'t': 5}",)],
     ["t: 'x' cannot be compared with the values before it", f"t: {GONE}"]),
]  # fmt: skip


def assert_judged(toy: Workspace, source: str, made: str, cases: list[Case]) -> None:
    """One run of a source with all cases: every table holds its rows, and nothing else was refused."""
    resources = [f"{made}({name!r}, {arguments})" for name, arguments, *_ in cases]
    module(toy, source.format(resources="\n    ".join(resources)))
    result = run(toy)
    assert (result.code, result.err) == (3, "")
    found = {(entry["resource"].removeprefix("of_"), entry["reason"]) for entry in quarantine(toy)}
    for name, _, columns, stored, refused in cases:
        assert (name, sorted(reason for each, reason in found if each == name)) == (name, sorted(refused))
        assert (name, toy.query(f'SELECT {columns} FROM toy."{name}" ORDER BY id')) == (name, stored)
    assert {name for name, _ in found} <= {name for name, *_ in cases}


def test_a_parent_that_only_feeds_others_is_not_judged_as_a_table(toy):
    assert_judged(toy, FEEDERS, "yield from fed", FEEDING)


CHILDREN = """
    for name, page in (("pages", [{'id': 1}, {'id': 2}]), ("alone", {'id': 1})):
        parent = dlt.resource(read, name=f'of_{name}', write_disposition='replace')(page, None)
        make = lambda given: [{'id': 1, 'kind': type(given).__name__}]
        yield from (parent, dlt.transformer(make, data_from=parent, name=name, write_disposition='replace'))"""


def test_a_child_of_a_stored_parent_gets_what_the_parent_yields(toy):
    module(toy, CURSOR_SOURCE.format(resources=CHILDREN))
    result = run(toy)
    assert (result.code, result.err) == (0, "")
    assert toy.query("SELECT p.kind, a.kind FROM toy.pages p, toy.alone a") == [("list", "dict")]


OBJECTS = '''\
"""One table per case."""

import collections
import dataclasses
import datetime
import enum
import uuid
from decimal import Decimal
from typing import Any

import dlt
import pyarrow as pa
from pydantic import BaseModel

UTC = datetime.timezone.utc


class Model(BaseModel):
    id: int | None = None
    v: Any = None


class Strict(BaseModel):
    id: int
    v: int = 5


@dataclasses.dataclass
class Data:
    id: Any
    v: Any = None


class Kind(enum.Enum):
    A = "a"


Pair = collections.namedtuple("Pair", "id v")
marked, hinted, hints = dlt.mark.with_table_name, dlt.mark.with_hints, dlt.mark.make_hints
NAN = float("nan")


def by_type(events):
    item, last = (*events, None)[:2]
    return {{**(last or {{}}), item["k"]: max(item["at"], (last or {{}}).get(item["k"], 0))}}


def case(name, pages, cursor=None, **hints):
    hints = {{"primary_key": "id", "write_disposition": "merge", **hints}}
    return dlt.resource(lambda at=cursor: iter(pages), name=name, **hints)


@dlt.source(name="toy", section="toy")
def toy():
    {resources}
'''
UUIDS = "uuid.UUID(int=1), uuid.UUID(int=2)"
NESTED = "nested_hints={'l': dlt.mark.make_nested_hints(columns={'a': {'data_type': 'bigint', 'nullable': False}})}"
CASES: list[Case] = [
    ("models", "[[Model(id=1, v=2), Model()], Model(id=3)]", "id, v", [(1, 2), (3, None)], [f"id: {GONE}"]),
    ("dataclasses", "[[Data(1, 2), Data(None)], Data(3)]", "id, v", [(1, 2), (3, None)], [f"id: {GONE}"]),
    ("tuples", "[[Pair(1, 2), Pair(None, 2)]]", "id, v", [(1, 2)], [f"id: {GONE}"]),
    ("inner", "[[{'id': 1, 'v': Data(1, [Data(2)])}, {'id': 2, 'v': Data(1, {'a b': 1, 'a-b': 2})}]]", "id, v__id",
     [(1, 1)], ["v__v__a_b: 'v.v.a b' and 'v.v.a-b' both become this column"]),
    ("uuids", f"[[{{'id': each}} for each in ({UUIDS})]]", "right(id, 2)", [("01",), ("02",)], []),
    ("kinds", "[[{'id': 1, 'v': Kind.A, 'u': uuid.UUID(int=1)}, {'id': 2, 'v': 'b', 'u': 'x'}]], "
     "columns={'u': {'data_type': 'text'}}", "id, v, right(u, 2)", [(1, "a", "01"), (2, "b", "x")], []),
    ("clocks", "[[{'id': 1, 'v': datetime.time(1, 2, tzinfo=UTC)}]]", "CAST(v AS VARCHAR)", [("01:02:00",)], []),
    ("pages", "[({'id': 1}, {'id': 2}), [{'id': 3}]]", "id", [(3,)],
     ["[{'id': 1}, {'id': 2}] is not a row of named values"]),
    ("views", "[{}.keys(), [{'id': 3}]]", "id", [(3,)], ["a dict_keys cannot be written as JSON"]),
    ("required", "[[{'id': 1, 'l': [{'a': 1}]}, {'id': 2, 'l': [{'a': 1}, {'b': 2}]}, {'id': 3, 'l': [{'a': 'x'}]},"
     f" {{'id': 4}}]], {NESTED}", "id", [(1,), (4,)], [f"required__l.a: {GONE}", "a: 'x' is not a bigint"]),
    ("main", "[[{'id': 1, 'v': 1}], marked([{'id': 'x', 'v': 2**53}], 'other'), marked([{'v': 1}], 'other')]", "id",
     [(1,)], [f"id: {GONE}"]),
    ("varied", "[[{'id': 1}], hinted([{'k': 'x'}, {'k': None}], hints(table_name='variant', primary_key='k', "
     "merge_key=(), columns={'id': {'data_type': 'bigint', 'nullable': True}}), create_table_variant=True), "
     "{'id': 'z'}]", "id", [(1,)], ["id: 'z' is not a bigint", f"k: {GONE}"]),
    ("typed", "[hinted([{'id': 1, 'v': 'x'}, {'id': 2, 'v': '5'}], hints(columns={'v': {'data_type': 'bigint'}}))]",
     "id, v", [(2, 5)], ["v: 'x' is not a bigint"]),
    ("checked", "[[{'id': '1'}, {'id': 'z'}], {'id': 2, 'v': None}, {'id': 3, 'v': 4}], columns=Strict", "id, v",
     [(1, 5), (3, 4)], ["id: Input should be a valid integer, unable to parse string as an integer",
     "v: Input should be a valid integer"]),
    ("events", "[[{'id': n, 'k': 'ab'[n % 2], 'at': n} for n in range(4)], [{'id': 5, 'k': 'a', 'at': 'x'}]], "
     "dlt.sources.incremental('$', last_value_func=by_type)", "id", [(0,), (1,), (2,), (3,)],
     ["$: {'id': 5, 'k': 'a', 'at': 'x'} cannot be compared with the values before it"]),
    ("keyed", "[[{'id': 1, 't': 1}, {'id': 2, 't': 2, 'uid': 4}], [{'id': 3, 't': 3}, {'id': 4, 't': 1}]], "
     "dlt.sources.incremental('t', initial_value=0, primary_key='uid')", "id", [(1,), (2,), (4,)], [f"uid: {GONE}"]),
    ("needed", "[[{'id': n, 'v': v} for n, v in enumerate([{}, [1], '[1]', '', 'null', 'x', '\"x\"', 0, 1.5, True, NAN]"
     ")]], columns={'v': {'data_type': 'json', 'nullable': False}}", "id", [(0,), (1,), (2,)],
     [f"v: {value} is not a json" for value in ("''", "'null'", "'x'", "'\"x\"'", "0", "1.5", "True", "nan")]),
    ("deep", "[[{'id': n, 'v': '[' * n + ']' * n} for n in (254, 255)]], columns={'v': {'data_type': 'json'}}", "id",
     [(254,)], [f"v: {shown('[' * 255 + ']' * 255)} is not a json"]),
    ("noted", "[[{'id': 1, 'v': 'x'}, {'id': 2, 'v': NAN}]], columns={'v': {'data_type': 'text', 'nullable': False}}",
     "id, v", [(1, "x")], ["v: nan is not a text"]),
    ("exact", "[[{'id': n, 'v': v} for n, v in enumerate([2**53, 2**53 + 1, 2**60, 'nan', '-inf', '1.5'])]], "
     "columns={'v': {'data_type': 'double'}}", "id", [(0,), (2,), (5,)],
     ["v: 9007199254740993 is not a double", "v: 'nan' is not a double", "v: '-inf' is not a double"]),
    ("days", "[[{'id': n, 'v': v} for n, v in enumerate([datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 2), "
     "'2024-01-03', '2024-01-04T00:00:00Z', datetime.datetime(2024, 1, 5, 6), '2024-01-06T07:00:00'])]], "
     "columns={'v': {'data_type': 'date'}}", "day(v)", [(1,), (2,), (3,), (4,)],
     ["v: datetime.datetime(2024, 1, 5, 6, 0) is not a date", "v: '2024-01-06T07:00:00' is not a date"]),
]  # fmt: skip


def test_a_row_is_judged_as_what_dlt_makes_of_it_and_by_the_table_it_goes_to(toy):
    assert_judged(toy, OBJECTS, "yield case", CASES)
    assert toy.query("SELECT id, v FROM toy.other") == [("x", 2**53)]
    assert toy.query("SELECT k FROM toy.variant") == [("x",)]
    assert run(toy).code == 3
