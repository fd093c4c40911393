"""The tables once more under the names of an older program, and from which file a row came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg2
import pytest

from tests import promised
from tests.clouds.project import project
from tests.postgres_server import database
from tests.test_models import Site
from tests.warehouse import Ask
from tests.workspace import Workspace

VIEWS = '\n[{env}.views]\ntoy = "dp_lake.old_{layout}"\n'


@pytest.fixture(params=["duckdb", "postgres", "bigquery"])
def site(request, tmp_path) -> Iterator[Site]:
    workspace, kind = promised.install(Workspace(tmp_path / "a workspace")), request.param
    with ExitStack() as stack:
        if kind == "duckdb":
            found = Site(workspace, "test", Ask(workspace), None, None)
        elif kind == "postgres":
            url = stack.enter_context(database(request.getfixturevalue("postgres_server")))
            workspace.postgres(url)
            found = Site(workspace, "pg", Ask(workspace, url), url, None)
        else:
            service = stack.enter_context(project())
            workspace.bigquery(service.variables)
            found = Site(workspace, "bq", service.ask, None, service)
        file = workspace.root / "destinations.toml"
        file.write_text(file.read_text() + VIEWS.format(env=found.env, layout="%s"))
        yield found


LINEAGE = """
SELECT v.id, v._source_file, v._fetched_at IS NULL, v._dp_inserted_at = l.inserted_at
FROM dp_lake.old_things AS v JOIN toy._dlt_loads AS l ON l.load_id = v._dlt_load_id ORDER BY v.id
"""


def test_views_follow_their_tables(site: Site):
    """Rows that came through files and rows that did not, a new column, a model that changes, and all anew."""
    assert site.etl("fetch", "toy", "--select", "things").code == 0
    (file,) = (site.workspace.root / "landing/toy/landing").glob("*things*.jsonl*")
    assert site.etl("ingest", "toy").code == 0
    assert site.ask(LINEAGE) == [(number, file.name, False, True) for number in range(1, 7)]
    assert site.ask("SELECT count(*) FROM dp_lake.old_things__tags") == [(15,)]
    assert site.ask("SELECT kind FROM dp_lake.old_by_kind ORDER BY kind") == [("a",), ("b",), ("c",), ("it's",)]

    newer = {"id": 6, "changed": "2024-01-07T00:00:00Z", "amount": 1.5, "kind": "c", "extra": "x"}
    site.workspace.write("toy.json", json.dumps([newer]))
    assert site.etl("run", "toy").code == 0
    assert site.ask(LINEAGE)[4:] == [(5, file.name, False, True), (6, None, True, True)]
    assert site.ask("SELECT extra FROM dp_lake.old_things WHERE id = 6") == [("x",)]
    assert site.ask("SELECT count(*) FROM dp_lake.old_others") == [(1,)]

    site.change("by_kind", "count(*) AS things,", "count(*) AS things, 'y' AS more,")
    assert site.made() == ["toy: made by_kind, tagged"]
    assert site.ask("SELECT DISTINCT more FROM dp_lake.old_by_kind") == [("y",)]
    assert site.etl("run", "toy", "--full-refresh", "--yes").code == 0
    assert site.ask("SELECT id, extra FROM dp_lake.old_things") == [(6, "x")]


def test_without_the_option_nothing_is_noted(yard):
    yard.etl("fetch", "--select", "things", code=0)
    yard.etl("ingest")
    assert yard.workspace.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'raw_files'") == []


def test_an_erasure_reaches_the_names_of_files(workspace):
    """The views are there in the file that is written anew, and a row tells the name that its file has from then on."""
    made = promised.install(workspace(), "subjects: {player: {rows: [things.kind]}}\n")
    file = made.root / "destinations.toml"
    file.write_text(file.read_text() + VIEWS.format(env="test", layout="%s"))
    made.write("specs/toy.yaml", (made.root / "specs/toy.yaml").read_text().replace("checks:\n", ""))
    rows = [
        {"id": number, "changed": "2024-01-01T00:00:00Z", "kind": kind} for number, kind in ((1, "ann"), (2, "bob"))
    ]
    made.write("landing/toy/landing/2024_01_02_09_00_toy_ann_things.jsonl", "\n".join(map(json.dumps, rows)))
    made.write("landing/toy/landing/2024_99_99_09_00_toy_others.jsonl", '{"id": 1}')
    assert made.etl("ingest", "toy", "--env", "test").code == 0
    assert made.query("SELECT DISTINCT epoch(_fetched_at) FROM dp_lake.old_things") == [(1704186000.0,)]
    assert made.query("SELECT _fetched_at FROM dp_lake.old_others") == [(None,)]
    assert made.etl("erase", "toy", "--player", "ann", "--env", "test", "--yes").code == 0
    (archived,) = (made.root / "landing/toy/archive/things").glob("*.jsonl*")
    assert "ann" not in archived.name
    assert made.query("SELECT id, _source_file FROM dp_lake.old_things") == [(2, archived.name)]


def in_postgres(site: Site, sql: str) -> None:
    with psycopg2.connect(site.url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_views_of_others_keep_nothing_from_being_loaded_once_they_are_gone(site: Site):
    """A full refresh that they stop is brought to its end by any run, though it drops tables that have views."""
    assert site.etl("run", "toy").code == 0
    in_postgres(site, "CREATE VIEW dp_lake.mine AS SELECT * FROM dp_lake.old_things")
    refused = site.etl("run", "toy", "--full-refresh", "--yes")
    assert (refused.code, refused.err) == (
        1,
        "ERROR: toy: cannot drop view dp_lake.old_things because other objects depend on it: view dp_lake.mine depends "
        "on view dp_lake.old_things; drop what depends on it, then run again\n",
    )
    assert site.ask("SELECT count(*) FROM dp_lake.mine") == [(6,)]
    in_postgres(site, "DROP VIEW dp_lake.mine")
    assert site.etl("run", "toy").code == 0
    assert site.ask("SELECT count(_dp_inserted_at) FROM dp_lake.old_things") == [(6,)]


@pytest.mark.parametrize("site", ["postgres"], indirect=True)
def test_a_name_that_postgres_would_cut_is_shortened(site: Site):
    """Two tables whose names begin alike have two views."""
    file = site.workspace.root / "destinations.toml"
    file.write_text(file.read_text().replace("old_%s", f"{'o' * 57}_%s"))
    for _ in range(2):
        assert site.etl("run", "toy").code == 0
    names = site.ask("SELECT table_name FROM information_schema.views WHERE table_schema = 'dp_lake'")
    assert ({len(name) for (name,) in names}, len(names)) == ({63}, 5)


@pytest.mark.parametrize("site", ["duckdb", "postgres"], indirect=True)
def test_a_view_takes_no_table_away(site: Site):
    file = site.workspace.root / "destinations.toml"
    file.write_text(file.read_text().replace("dp_lake.old_%s", "toy.%s"))
    for words in (("run", "toy"), ("run", "toy", "--full-refresh", "--yes")):
        refused = site.etl(*words)
        said = "views: toy: toy.others is a table, and what is loaded is left without a view"
        assert (refused.code, said in refused.err) == (2, True), refused.err
    assert site.ask("SELECT count(*) FROM toy.things") == [(6,)]


@pytest.mark.parametrize("site", ["duckdb"], indirect=True)
def test_views_beside_their_tables_have_no_views(site: Site):
    file = site.workspace.root / "destinations.toml"
    file.write_text(file.read_text().replace("dp_lake.old_%s", "toy.%s__old"))
    for _ in range(2):
        assert site.etl("run", "toy").code == 0
    names = site.ask("SELECT table_name FROM information_schema.tables WHERE table_name LIKE '%old' ORDER BY 1")
    assert names == [(f"{table}__old",) for table in ("by_kind", "others", "tagged", "things", "things__tags")]
