"""`etl quarantine replay`: what was set aside joins its table, and never in the place of a newer row."""

from __future__ import annotations

import json
import shutil
import sys
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from tests.warehouse import Ask, faults
from tests.workspace import Result, Workspace

SOURCE = """\
import json
from pathlib import Path

import dlt


@dlt.source(name="shop", section="shop")
def shop(rows_file: str = dlt.config.value):
    yield dlt.resource(lambda: json.loads(Path(rows_file).read_text()), name="things", **{hints})
"""
SPEC = "name: shop\nabout: Things with a number.\npython: {}\n"
BIGINT, DOUBLE, TEXT = ({"data_type": name} for name in ("bigint", "double", "text"))
MERGED: dict[str, Any] = {"primary_key": "id", "write_disposition": "merge"}
APPENDED = {**MERGED, "write_disposition": "append"}


def shop(workspace: Workspace, columns: dict[str, Any], **hints: Any) -> None:
    """Write the source; `columns` are what it declares."""
    workspace.write("specs/shop.yaml", SPEC + "resources: {things: {append_reason: a test}}\n")
    workspace.write("sources/shop.py", SOURCE.format(hints=repr({**MERGED, **hints, "columns": columns})))
    workspace.variables["SOURCES__SHOP__ROWS_FILE"] = str(workspace.root / "rows.json")


def etl(workspace: Workspace, *words: str) -> Result:
    """Run a command on the source as it stands now."""
    shutil.rmtree(workspace.root / "sources/__pycache__", ignore_errors=True)
    sys.modules.pop("sources.shop", None)
    return workspace.etl(*words)


@pytest.fixture(params=["test", "pg"], ids=["duckdb", "postgres"])
def site(request: pytest.FixtureRequest, workspace: Any) -> SimpleNamespace:
    """A workspace with a shop, on DuckDB, on Postgres."""
    made = workspace()
    url = request.getfixturevalue("postgres_url") if request.param == "pg" else None
    if url:
        made.postgres(url)
    return SimpleNamespace(made=made, env=request.param, ask=Ask(made, url))


def load(site: SimpleNamespace, *rows: dict[str, Any], **hints: Any) -> None:
    """One run over these rows, with `n` declared a number."""
    shop(site.made, {"id": BIGINT, "n": DOUBLE}, **hints)
    site.made.write("rows.json", json.dumps(rows))
    result = etl(site.made, "run", "shop", "--env", site.env)
    assert result.code in (0, 3), result


def replay(site: SimpleNamespace, *ids: str, **hints: Any) -> dict[str, Any]:
    """Replay with nothing declared any more that was refused; one document, and the exit code in it."""
    shop(site.made, {"id": BIGINT}, **hints)
    result = etl(site.made, "quarantine", "replay", "shop", *ids, "--env", site.env, "--output", "json")
    return {**result.json, "exit": result.code}


def outcome(site: SimpleNamespace, *ids: str, **hints: Any) -> tuple[int, int, int]:
    """How many rows a replay loads and how many it calls superseded, and its exit code."""
    done = replay(site, *ids, **hints)
    return done["loaded"], len(done["superseded"]), done["exit"]


def things(site: SimpleNamespace) -> list[Any]:
    return site.ask("SELECT id, v FROM shop.things ORDER BY id, v")


def test_only_rows_that_nothing_newer_replaced_are_loaded(site):
    load(site, {"id": 1, "v": 0}, {"id": 2, "v": 0, "tags": ["old"]})
    load(
        site, {"id": 1, "v": 1, "n": "x"}, {"id": 2, "v": 1, "n": "x", "tags": ["a", "b"]}, {"id": 3, "v": 1, "n": "x"}
    )
    load(site, {"id": 1, "v": 2})
    assert outcome(site) == (2, 1, 3)
    assert things(site) == [(1, 2), (2, 1), (3, 1)]
    assert faults(site.ask, "shop") == []
    assert sorted(site.ask("SELECT value FROM shop.things__tags")) == [("a",), ("b",)]
    told = etl(site.made, "quarantine", "replay", "shop", "--env", site.env)
    ((row,),) = site.ask("SELECT id FROM _etl.quarantine WHERE replayed_at IS NULL")
    drop = f"etl quarantine drop shop {row[:12]} --env {site.env}"
    assert f"shop: 1 superseded by newer rows, kept in quarantine; drop them with: {drop}\n" in told.out
    assert etl(site.made, *drop.split()[1:], "--yes").code == 0
    assert outcome(site) == (0, 0, 0)


def test_the_newest_of_several_versions_is_loaded(workspace):
    site = _duckdb(workspace)
    for version in (1, 2):
        load(site, {"id": 1, "v": version, "n": "x"})
    old = site.ask("SELECT id FROM _etl.quarantine WHERE payload LIKE '%\"v\":1%'")[0][0]
    assert outcome(site, old) == (0, 1, 3)
    assert outcome(site) == (1, 1, 3)
    assert things(site) == [(1, 2)]


def test_of_two_versions_read_by_one_run_none_is_taken_for_the_newer(workspace):
    site = _duckdb(workspace)
    load(site, {"id": 1, "v": 1}, {"id": 1, "v": 2, "n": "x"}, {"id": 2, "v": 1, "n": "x"}, {"id": 2, "v": 2, "n": "x"})
    assert outcome(site) == (0, 3, 3)
    assert things(site) == [(1, 1)]


def test_rejected_again_a_row_is_as_new_as_the_last_run(workspace):
    site = _duckdb(workspace)
    bad = {"id": 1, "v": 2, "n": "x"}
    load(site, bad)
    load(site, {"id": 1, "v": 1})
    load(site, bad)
    assert outcome(site) == (1, 0, 0)
    assert things(site) == [(1, 2)]


@pytest.mark.parametrize(
    "strategy", [APPENDED, {**MERGED, "write_disposition": {"disposition": "merge", "strategy": "insert-only"}}]
)
def test_where_the_first_row_stays_a_replay_adds_new_keys_only(workspace, strategy):
    site = _duckdb(workspace)
    load(site, {"id": 1, "v": 1}, **strategy)
    load(site, {"id": 1, "v": 2, "n": "x"}, {"id": 2, "v": 2, "n": "x"}, **strategy)
    assert outcome(site, **strategy) == (1, 1, 3)
    assert things(site) == [(1, 1), (2, 2)]


def test_an_appended_row_without_a_key_is_added_to_the_others(workspace):
    site, keyless = _duckdb(workspace), {**APPENDED, "primary_key": []}
    load(site, {"id": 1, "v": 1}, {"id": 1, "v": 2, "n": "x"}, **keyless)
    assert outcome(site, **keyless) == (1, 0, 0)
    assert outcome(site, **keyless) == (0, 0, 0)
    assert things(site) == [(1, 1), (1, 2)]


WHOLE = "is read whole by every run, so a single row cannot join its table; run the spec again, then drop its rows"
NO_KEY = "has no key of its own, so a single row cannot join its table; run the spec again, then drop its rows"
KINDS = [
    ({"write_disposition": "replace"}, WHOLE),
    ({"write_disposition": {"disposition": "merge", "strategy": "scd2"}}, WHOLE),
    ({"primary_key": "id", "merge_key": "v"}, NO_KEY),
]


@pytest.mark.parametrize(("hints", "said"), KINDS)
def test_a_row_that_cannot_join_its_table_alone_stays(workspace, hints, said):
    site = _duckdb(workspace)
    load(site, {"id": 1, "v": 1}, {"id": 2, "v": 1, "n": "x"}, **hints)
    shop(site.made, {"id": BIGINT}, **hints)
    result = etl(site.made, "quarantine", "replay", "shop", "--env", "test")
    assert (result.code, result.err) == (2, f"things: {said}\n")
    assert things(site) == [(1, 1)]


def test_a_row_is_listed_with_when_it_was_first_and_last_seen(workspace):
    site = _duckdb(workspace)
    load(site, {"id": 1, "v": 1, "n": "x"})
    ((first, last),) = site.ask("SELECT first_seen_at, last_seen_at FROM _etl.quarantine")
    head, row, _ = etl(site.made, "quarantine", "list", "--env", "test").out.splitlines()
    assert head.split("  ")[0] == "id"
    assert f"{first:%Y-%m-%d %H:%M}  {last:%Y-%m-%d %H:%M}  shop" in row


def test_a_list_cut_short_says_of_how_many(workspace):
    site = _duckdb(workspace)
    load(site, *({"id": i, "v": 1, "n": "x"} for i in range(5)))
    with duckdb.connect(str(site.made.root / "warehouse.duckdb")) as warehouse:
        warehouse.execute("UPDATE _etl.quarantine SET replayed_at = now() WHERE json_extract(payload, 'id') = 1")
    for words, said in (([], "4 rows in quarantine, 2 shown"), (["--all"], "5 rows in quarantine, 2 shown")):
        listed = etl(site.made, "quarantine", "list", "shop", "--env", "test", "--limit", "2", *words)
        assert listed.out.splitlines()[-1] == said


PLANTED = "payload-planted"
LOADED = [
    (DOUBLE, PLANTED, TEXT, "things.n is double in the warehouse and declared as text"),
    ({**DOUBLE, "nullable": False}, None, {**DOUBLE, "nullable": True},
     "things.n takes no null in the warehouse and is declared nullable"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "bad", "then", "said"), LOADED)
def test_a_hint_that_a_loaded_column_cannot_follow_is_refused(site, first, bad, then, said):
    shop(site.made, {"id": BIGINT, "n": first})
    site.made.write("rows.json", json.dumps([{"id": 1, "v": 1, "n": 0.5}, {"id": 2, "v": PLANTED, "n": bad}]))
    assert etl(site.made, "run", "shop", "--env", site.env).code == 3
    shop(site.made, {"id": BIGINT, "n": then})
    for command in (["quarantine", "replay"], ["run"], ["plan"]):
        result = etl(site.made, *command, "shop", "--env", site.env)
        assert result.code == 2, result
        advice = "take the declaration back, or load the table anew with --full-refresh"
        assert result.err.removeprefix("ERROR: ") == f"shop: {said}; {advice}\n"
        assert PLANTED not in result.out + result.err
    assert site.ask("SELECT id FROM shop.things") == [(1,)]


def _duckdb(workspace: Any) -> SimpleNamespace:
    made = workspace()
    return SimpleNamespace(made=made, env="test", ask=Ask(made))
