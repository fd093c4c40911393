"""The tables once more under the names of an older program, and from which file a row came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

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
