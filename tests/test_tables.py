"""No two resources, and no two specs, write one table."""

from __future__ import annotations

import pytest

from pipelines.specs.tables import clashes, of_rest

REST = """\
name: shop
about: Two resources of an API.
rest:
  client: {{base_url: "http://127.0.0.1:9/", paginator: single_page}}
  resource_defaults: {{write_disposition: merge, primary_key: id}}
  resources:
    - {one}
    - {other}
"""
PYTHON = '''\
"""Two resources."""

import dlt


@dlt.source(name="{name}", section="{name}")
def {name}():
    for hints in {hints!r}:
        yield dlt.resource([{{"id": 1}}], primary_key="id", write_disposition="merge", **hints)
'''
SPEC = "name: {name}\nabout: Rows for tests.\n{dataset}python: {{}}\n"
CLASHES = [
    ({"name": "Foo-Bar"}, {"name": "foo_bar"}, "'foo_bar' and 'Foo-Bar'", "foo_bar"),
    ({"name": "fooBar"}, {"name": "foo bar"}, "'foo bar' and 'fooBar'", "foo_bar"),
    ({"name": "a"}, {"name": "b", "table_name": "A"}, "'b' and 'a'", "a"),
    ({"name": "a", "table_name": "c"}, {"name": "b", "table_name": "C"}, "'b' and 'a'", "c"),
    ({"name": "games"}, {"name": "games__players"}, "'games__players' and 'games'", "games__players"),
    ({"name": "Games__Players"}, {"name": "games"}, "'games' and 'Games__Players'", "games__players"),
]
APART = [
    ({"name": "foo"}, {"name": "foo_bar"}),
    ({"name": "games"}, {"name": "games_players"}),
    ({"name": "a", "table_name": "b"}, {"name": "b", "table_name": "a"}),
]


def rest(made, one, other):
    made.write("specs/shop.yaml", REST.format(one=one, other=other))


def python(made, name, *hints, dataset=""):
    made.write(f"specs/{name}.yaml", SPEC.format(name=name, dataset=dataset))
    made.write(f"sources/{name}.py", PYTHON.format(name=name, hints=hints))


@pytest.mark.parametrize(("one", "other", "both", "table"), CLASHES)
def test_two_resources_of_an_api_that_would_share_a_table(workspace, one, other, both, table):
    made = workspace()
    rest(made, one, other)
    result = made.etl("validate")
    expected = f"specs/shop.yaml:8:7: rest.resources[1]: {both} on line 7 would both write the table {table}; rename"
    assert (result.code, expected in result.out) == (2, True), result


@pytest.mark.parametrize(("one", "other", "both", "table"), CLASHES)
def test_two_resources_of_a_source_that_would_share_a_table(workspace, one, other, both, table):
    made = workspace()
    python(made, "toy", one, other)
    result = made.etl("run", "toy", "--env", "test")
    both = " and ".join(reversed(both.split(" and ")))
    expected = f"sources/toy: {both} would both write the table {table}; rename one"
    assert (result.code, expected in result.err) == (2, True), result


@pytest.mark.parametrize(("one", "other"), APART)
def test_names_that_are_only_alike_are_fine(one, other):
    assert list(clashes(of_rest({"resources": [one, other]}))) == []


@pytest.mark.parametrize(
    ("datasets", "names", "told"),
    [
        (("dataset: pool\n", "dataset: pool\n"), ("things", "Things"), "specs/b.yaml:3:10: dataset: b and a would"),
        (("", "dataset: a\n"), ("things", "things"), "specs/b.yaml:3:10: dataset: b and a would"),
        (("dataset: b\n", ""), ("things", "things"), "specs/b.yaml:1:7: name: b and a would"),
        (("dataset: pool\n", "dataset: pool\n"), ("things", "others"), None),
        (("", ""), ("things", "things"), None),
    ],
)
def test_two_specs_that_would_share_a_table(workspace, datasets, names, told):
    made = workspace()
    for spec, dataset, name in zip("ab", datasets, names, strict=True):
        python(made, spec, {"name": name}, dataset=dataset)
    result = made.etl("validate")
    assert result.code == (2 if told else 0), result
    assert told is None or told in result.out
    assert told is None or ".things; give one another dataset" in result.out
    if told:
        result = made.etl("run", "--all", "--env", "test")
        assert (result.code, told in result.err) == (2, True), result


def test_an_api_and_a_source_that_would_share_a_table(workspace):
    made = workspace()
    rest(made, {"name": "other"}, {"name": "Things", "endpoint": {"path": "x"}})
    python(made, "toy", {"name": "things"}, dataset="dataset: shop\n")
    result = made.etl("validate")
    assert (result.code, "toy and shop would both write shop.things" in result.out) == (2, True), result
