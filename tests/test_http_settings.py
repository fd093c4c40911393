"""How a source speaks HTTP is set by known names with values that can work, wherever they stand."""

from __future__ import annotations

import pytest

from tests.scripted_server import reply, serving

SPEC = """\
name: shop
about: An API with nothing in it.
rest:
  client: {base_url: "http://127.0.0.1:9/", paginator: single_page}
  resource_defaults: {write_disposition: merge, primary_key: id}
  resources: [things]
"""
WRONG = [
    ("nonsense", "1", "http.nonsense", "it has: "),
    ("max_atempts", "1", "http.max_atempts", "(did you mean '"),
    ("max_attempts", "lots", "setting 'max_attempts' cannot be read", "write it as a whole number"),
    ("deadline_seconds", "soon", "setting 'deadline_seconds' cannot be read", "write it as a number"),
    ("requests_per_second", "many", "setting 'requests_per_second' cannot be read", "write it as a number"),
    ("max_attempts", "0", "sources.shop.http.max_attempts: 0 cannot work", "give a positive number"),
    ("requests_at_once", "0", "sources.shop.http.requests_at_once: 0 cannot work", "give a positive number"),
    ("deadline_seconds", "nan", "sources.shop.http.deadline_seconds: nan cannot work", "give a positive number"),
]


@pytest.fixture
def shop(workspace):
    made = workspace()
    made.write("specs/shop.yaml", SPEC)
    return made


def by_option(made, key, value):
    return ["--with", f"http.{key}={value}"], {}


def by_variable(made, key, value):
    return [], {f"SOURCES__SHOP__HTTP__{key.upper()}": value}


def by_variable_of_all(made, key, value):
    return [], {f"SOURCES__HTTP__{key.upper()}": value}


def by_file(made, key, value):
    made.write(".dlt/config.toml", f'[sources.shop.http]\n{key} = "{value}"\n')
    return [], {}


WAYS = [by_option, by_variable, by_variable_of_all, by_file]
CASES = [*((way, *WRONG[0]) for way in WAYS), *((by_option, *wrong) for wrong in WRONG[1:])]


@pytest.mark.parametrize(("given", "key", "value", "what", "advice"), CASES)
def test_a_wrong_setting_is_one_line(shop, given, key, value, what, advice):
    options, variables = given(shop, key, value)
    result = shop.etl("run", "shop", "--env", "test", *options, **variables)
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert (what in result.err, advice in result.err) == (True, True), result.err


@pytest.mark.parametrize("given", [by_option, by_file])
def test_a_right_setting_acts(shop, given):
    options, variables = given(shop, "max_attempts", "1")
    with serving(lambda asked: reply(503)) as server:
        variables |= {"SOURCES__SHOP__BASE_URL": f"{server.url}/"}
        assert shop.etl("run", "shop", "--env", "test", *options, **variables).code == 5
    assert len(server.asked) == 1
