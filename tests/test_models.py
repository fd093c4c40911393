"""Models: the same rows on each warehouse, made when they are due, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from pipelines.build import outline
from pipelines.queries import NotSql, condition, parse
from pipelines.specs import spec as specs
from tests import promised
from tests.clouds.project import Project
from tests.clouds.project import project as clouds_project
from tests.killed import At, killed
from tests.postgres_server import database
from tests.warehouse import Ask
from tests.workspace import REPOSITORY, Workspace

FIRST = date(2024, 1, 1)
BY_KIND = [
    ("a", FIRST, 2, 0.0, 4, datetime(2024, 1, 2, 23, 30, tzinfo=UTC)),
    ("b", FIRST, 1, 1.0, 3, datetime(2024, 1, 3, 23, 30, tzinfo=UTC)),
    ("c", FIRST, 1, 1.0, 6, datetime(2024, 1, 6, 23, 30, tzinfo=UTC)),
    ("it's", FIRST, 2, 1.0, 10, datetime(2024, 1, 5, 23, 30, tzinfo=UTC)),
]


class Site:
    """A workspace on one kind of warehouse, loaded once."""

    def __init__(self, workspace: Workspace, env: str, ask: Ask, url: str | None, project: Project | None) -> None:
        self.workspace, self.env, self.ask, self.url, self.project = workspace, env, ask, url, project

    def etl(self, *words: str) -> Any:
        return self.workspace.etl(*words, "--env", self.env)

    def made(self, *words: str) -> list[str]:
        """The lines of `etl models` about models, and the error."""
        result = self.etl("models", "toy", *words)
        return [line for line in (result.out + result.err).splitlines() if " checks " not in line]

    def change(self, model: str, old: str, new: str) -> None:
        file = self.workspace.root / f"models/toy/{model}.sql"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def comments(self) -> tuple[str | None, str | None]:
        """What is said of the table by_kind, and of its column share."""
        if self.project:
            table = self.project.client.get_table("toy.by_kind")
            return table.description, {field.name: field.description for field in table.schema}["share"]
        if self.url:
            position = (
                "(SELECT attnum FROM pg_attribute WHERE attrelid = 'toy.by_kind'::regclass AND attname = 'share')"
            )
            of = "obj_description('toy.by_kind'::regclass), col_description('toy.by_kind'::regclass, " + position + ")"
            return self.ask(f"SELECT {of}")[0]
        return self.ask(
            "SELECT t.comment, c.comment FROM duckdb_tables() t JOIN duckdb_columns() c USING (table_oid) "
            "WHERE t. schema_name = 'toy' AND t.table_name = 'by_kind' AND column_name = 'share'"
        )[0]


@contextmanager
def installed(request: pytest.FixtureRequest, folder: Path) -> Iterator[Site]:
    """The toy in a workspace whose environment is of the kind that the request names."""
    workspace, kind = promised.install(Workspace(folder / "a workspace")), request.param
    with ExitStack() as stack:
        if kind == "duckdb":
            yield Site(workspace, "test", Ask(workspace), None, None)
        elif kind == "postgres":
            url = stack.enter_context(database(request.getfixturevalue("postgres_server")))
            workspace.postgres(url)
            yield Site(workspace, "pg", Ask(workspace, url), url, None)
        else:
            project = stack.enter_context(clouds_project())
            workspace.bigquery(project.variables)
            yield Site(workspace, "bq", project.ask, None, project)


@pytest.fixture(params=["duckdb", "postgres", "bigquery"])
def site(request, tmp_path) -> Iterator[Site]:
    with installed(request, tmp_path) as found:
        run = found.etl("run", "toy")
        assert (run.code, "toy: made by_kind, tagged" in run.out) == (0, True), run
        yield found


def test_from_the_first_run_to_the_last_change(site: Site):
    """The rows, the comments; then a change, a failure, its end, another shape and another kind of table."""
    assert site.ask("SELECT * FROM toy.by_kind ORDER BY kind") == BY_KIND
    assert len(site.ask("SELECT * FROM toy.tagged")) == 15
    assert site.comments() == ('It\'s what "things" there are, 100% of them.', "Part above 3.")

    site.change("by_kind", "NOT LIKE 'z%'", "<> 'a'")
    run = site.etl("run", "toy", "--select", "things")
    assert (run.code, run.out.splitlines()[0]) == (0, "toy: made by_kind, tagged"), (
        "what was changed, and what reads it"
    )
    assert site.ask("SELECT * FROM toy.by_kind ORDER BY kind") == BY_KIND[1:]
    assert "made" not in site.etl("run", "toy", "--select", "things").out, "nothing is due"

    site.change("by_kind", "CAST(sum(amount) AS BIGINT)", "CAST(max(kind) AS BIGINT)")
    failed = site.etl("run", "toy")
    assert (failed.code, "toy.tagged: skipped: reads by_kind" in failed.out.splitlines()) == (1, True), failed
    assert failed.err.startswith("ERROR: models/toy/by_kind.sql:"), failed
    assert failed.err.endswith(f"; what was there is as it was: mend it, then etl models toy --env {site.env}\n")
    assert "it's" not in failed.err, "a value of a row may be personal"
    assert site.ask("SELECT * FROM toy.by_kind ORDER BY kind") == BY_KIND[1:]
    assert site.ask("SELECT count(*) FROM toy.tagged") == [(14,)]

    site.change("by_kind", "CAST(max(kind) AS BIGINT)", "count(DISTINCT kind)")
    site.workspace.write("models/toy/models.yaml", "models: {tagged: {about: A table now.}}")
    assert site.made() == ["toy: made by_kind, tagged"]
    assert site.ask("SELECT amount FROM toy.by_kind") == [(1,)] * 3
    site.change("by_kind", "count(*) AS things,", "count(*) AS things, 'x' AS extra,")
    site.workspace.write("models/toy/models.yaml", "models: {by_kind: {about: A view now., materialized: view}}")
    assert site.made() == ["toy: made by_kind, tagged"]
    assert site.ask("SELECT DISTINCT extra FROM toy.by_kind") == [("x",)]
    assert site.etl("run", "toy", "--full-refresh", "--yes").code == 0, "a view holds no table fast"
    assert sorted({table for table, _ in site.ask.columns("toy") if not table.startswith("_dlt_")}) == [
        "by_kind", "others", "tagged", "things", "things__tags",
    ]  # fmt: skip


def test_what_others_built_on_a_table_in_postgres_stays(workspace, postgres_url, monkeypatch):
    made = promised.install(workspace())
    made.postgres(postgres_url)
    assert made.etl("run", "toy", "--env", "pg").code == 0
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE VIEW public.mine AS SELECT kind, things FROM toy.by_kind")
        connection.commit()
        file = made.root / "models/toy/by_kind.sql"
        file.write_text(file.read_text().replace("NOT LIKE 'z%'", "= 'a'"))
        assert made.etl("models", "toy", "--env", "pg").code == 0
        cursor.execute("SELECT * FROM public.mine, toy.tagged WHERE id = 2")
        assert cursor.fetchall() == [("a", 2, "a", 2, "2.0")]
        file.write_text(file.read_text().replace("= 'a'", "= 'a' AND amount > 1"))
        monkeypatch.setattr("pipelines.models.put.PATIENCE", "50ms")
        run = ("run", "toy", "--env", "pg", "--select", "things")
        assert made.etl(*run).code == 5, "a reader's transaction is open"
        connection.commit()
        assert made.etl(*run).out.splitlines()[0] == "toy: made tagged", "what it reads was made before"
        cursor.execute("SELECT * FROM public.mine")
        file.write_text(file.read_text().replace("count(*) AS things,", ""))
        assert made.etl("models", "toy", "--env", "pg").code == 5, "a reader's transaction is open"
        connection.commit()
        refused = made.etl("models", "toy", "--env", "pg")
        assert (refused.code, refused.err) == (
            1,
            "ERROR: models/toy/by_kind.sql: cannot drop table toy.by_kind because other objects depend on it: view "
            "mine depends on table toy.by_kind; what was there is as it was: mend it, then etl models toy --env pg\n",
        )
        cursor.execute("SELECT * FROM public.mine")
        assert cursor.fetchall() == [("a", 2)]


COMMIT = {
    "duckdb": "dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient.commit_transaction",
    "postgres": "dlt.destinations.impl.postgres.sql_client:Psycopg2SqlClient.commit_transaction",
}


@pytest.mark.parametrize("kind", COMMIT)
def test_killed_while_a_table_is_replaced(workspace, kind, request):
    """The old table or the new one; what follows makes the new one, and nothing is left over."""
    made, env, url = promised.install(workspace()), "test", None
    if kind == "postgres":
        env, url = "pg", request.getfixturevalue("postgres_url")
        made.postgres(url)
    assert made.etl("run", "toy", "--env", env).code == 0
    file, ask = made.root / "models/toy/by_kind.sql", Ask(made, url)
    file.write_text(file.read_text().replace("NOT LIKE 'z%'", "= 'b'").replace("count(*) AS things", "7 AS things"))
    for when, found in (("before", 1), ("after", 7)):
        killed(made, At(COMMIT[kind], when), "models", "toy", "--env", env)
        assert ask("SELECT things FROM toy.by_kind WHERE kind = 'b'") == [(found,)]
    assert "toy: made by_kind, tagged" in made.etl("run", "toy", "--env", env).out
    assert ask("SELECT kind, things FROM toy.by_kind") == [("b", 7)]
    assert not [table for table, _ in ask.columns("toy") if "by_kind" in table and table != "by_kind"]


def test_what_is_not_ours_is_left_alone(workspace):
    """A table made by hand, and one whose model is gone, stay; a model that is gone is told until its table is."""
    made = promised.install(workspace(), models="{}")
    (made.root / "models/toy/tagged.sql").rename(made.root / "models/toy/notes.sql")
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        connection.execute("CREATE SCHEMA toy; CREATE TABLE toy.notes AS SELECT 'by hand' AS note")
    run = made.etl("run", "toy", "--env", "test")
    assert (run.code, "toy.notes: failed: notes is there and no model; drop that, or rename the model" in run.out) == (
        1,
        True,
    )
    assert made.query("SELECT * FROM toy.notes") == [("by hand",)]
    for file in ("notes", "by_kind"):
        (made.root / f"models/toy/{file}.sql").unlink()
    told = (
        "WARNING: models/toy/by_kind.sql: is gone, and toy.by_kind is no longer made; bring the file back, or say: "
        'DROP TABLE "toy"."by_kind"'
    )
    assert made.etl("models", "toy", "--env", "test").err.splitlines() == [told]
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        connection.execute("DROP TABLE toy.by_kind")
    assert made.etl("models", "toy", "--env", "test").err == ""
    assert made.query("SELECT name FROM _etl.models") == []


def test_a_model_waits_for_its_tables_and_reads_other_datasets(workspace):
    made = promised.install(workspace(), models="{}")
    made.write("specs/other.yaml", "name: other\nabout: x\ndataset: elsewhere\npython: {}\n")
    made.write("sources/other.py", (made.root / "sources/toy.py").read_text().replace("toy", "other"))
    made.variables["SOURCES__OTHER__ROWS_FILE"] = made.variables["SOURCES__TOY__ROWS_FILE"]
    made.write("models/toy/both.sql", "SELECT count(*) AS n FROM others, other.things, elsewhere.things AS more")
    first = made.etl("run", "toy", "--env", "test", "--select", "others")
    assert (first.code, first.out.splitlines()[1:4]) == (
        0,
        [
            "toy.both: waits: there is no table other.things yet",
            "toy.by_kind: waits: there is no table things yet",
            "toy.tagged: waits: reads by_kind",
        ],
    )
    assert made.etl("run", "other", "--env", "test").code == 0
    assert made.etl("models", "toy", "--env", "test").out == (
        "toy: made both\ntoy.by_kind: waits: there is no table things yet\ntoy.tagged: waits: reads by_kind\n"
    )
    assert made.query("SELECT * FROM toy.both") == [(36,)]


def test_a_model_is_made_anew_when_another_spec_loads_what_it_reads(workspace):
    """Under the lock of its own spec; what fails there does not fail the load."""
    made = promised.install(workspace(), models="{}")
    made.source("other", (made.root / "sources/toy.py").read_text().replace("toy", "other"))
    made.variables["SOURCES__OTHER__ROWS_FILE"] = str(made.write("other.json", json.dumps(promised.rows()[:2])))
    made.write("models/toy/theirs.sql", "SELECT count(*) AS n FROM other.things")
    first = made.etl("run", "other", "toy", "--env", "test")
    assert (first.code, "other: made" in first.out) == (0, False), "it was never made here"
    made.write("other.json", json.dumps(promised.rows()))
    told = made.etl("run", "other", "toy", "--env", "test", "--select", "things")
    lines = [line for line in told.out.splitlines() if ": made " in line]
    assert (told.code, lines) == (0, ["other: made toy.theirs"]), "nothing is due then"
    assert made.query("SELECT n FROM toy.theirs") == [(6,)]
    made.write("models/toy/theirs.sql", "SELECT count(nothing) AS n FROM other.things")
    failed = made.etl("run", "other", "--env", "test")
    assert (failed.code, failed.err.split(":")[:3]) == (0, ["WARNING", " models/toy/theirs.sql", "1"]), failed
    assert made.query("SELECT n FROM toy.theirs") == [(6,)]


FILES = {
    "a": "SELECT * FROM b",
    "b": "SELECT * FROM toy.c",
    "c": "SELECT id, count(*) FROM a GROUP BY id",
    "things": "SELECT 1 AS one",
    "typo": "SELECT id\nFRM things",
    "Big": "SELECT 1 AS one",
    "two": "SELECT 1 AS one; SELECT 2 AS two",
    "table": "SELECT x.id FROM tings AS x JOIN\n  toys.things USING (id)",
    "said": "SELECT id, 1 AS one FROM things",
}
YAML = """\
models:
  said: {about: x, columns: {ones: y}}
  sad: {about: x}
  typo: {abot: x}
check: []
"""
MISTAKES = [
    """\
models/toy/Big.sql:1:1: name it with a-z, 0-9 and single _ between them; the table is named so
models/toy/models.yaml:4:3: models.typo.about: missing; add it
models/toy/models.yaml:4:10: models.typo.abot: unknown key (did you mean 'about'?)
models/toy/models.yaml:5:1: check: unknown key (did you mean 'checks'?)
models/toy/two.sql:1:1: expected one SELECT and nothing else
models/toy/typo.sql:2:10: not SQL: expected something else at 'things'
models/nobody:1:1: there is no spec named 'nobody'
""",
    """\
models/toy/models.yaml:2:30: models.said.columns.ones: no such column of the model (did you mean 'one'?)
models/toy/models.yaml:3:3: models.sad: there is no sad.sql beside this file (did you mean 'said'?)
models/nobody:1:1: there is no spec named 'nobody'
""",
    """\
models/toy/a.sql:1:1: the models read each other in a circle: a → b → c → a
models/toy/c.sql:1:1: the column COUNT(*) has no name; write AS and one
models/toy/pivot.sql:1:1: cannot be said in the SQL of postgres: PIVOT unsupported
models/toy/table.sql:1:18: no table or model named 'tings' (did you mean 'things'?); known: a, b, c, others, pivot, said, table, things
models/toy/table.sql:2:8: no spec or dataset named 'toys' (did you mean 'toy'?); known: toy
models/toy/things.sql:1:1: toy loads a table things; name the model otherwise
models/nobody:1:1: there is no spec named 'nobody'
""",  # noqa: E501
]


def test_mistakes_are_told_with_their_place(workspace, postgres_url):
    made = promised.install(workspace())
    made.postgres(postgres_url)
    for file in made.root.glob("models/toy/*"):
        file.unlink()
    made.write("models/nobody/a.sql", "SELECT 1 AS one")
    for name, sql in FILES.items():
        made.write(f"models/toy/{name}.sql", sql)
    made.write("models/toy/models.yaml", YAML)
    said = [made.etl("validate").out]
    for name in ("typo", "Big", "two"):
        (made.root / f"models/toy/{name}.sql").unlink()
    made.write("models/toy/models.yaml", "\n".join(YAML.splitlines()[:3]))
    said.append(made.etl("validate").out)
    (made.root / "models/toy/models.yaml").unlink()
    made.write("models/toy/pivot.sql", "SELECT * FROM (SELECT id, of FROM things) PIVOT (sum(of) FOR id IN (1))")
    said.append(made.etl("validate").out)
    assert said == MISTAKES


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("SELECT 1", []),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a, B.c", ["a", "b.c"]),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT * FROM n", []),
        ("SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.x = a.x AND x IN (SELECT y FROM c))", ["a", "b", "c"]),
        ("SELECT * FROM (a JOIN b USING (x)) UNION SELECT * FROM range(5) AS r", ["a", "b"]),
        ("FROM a SELECT x", ["a"]),
        ("SELECT (SELECT max(x) FROM b) AS x FROM a, unnest([1]) AS u(v)", ["a", "b"]),
    ],
)
def test_which_tables_a_query_reads(text: str, tables: list[str]):
    assert sorted(map(str, parse(text).references)) == tables


@pytest.mark.parametrize("text", ["", "SELECT", "VALUES (1)", "SELECT 1; DROP TABLE a", "CREATE TABLE a AS SELECT 1"])
def test_what_is_no_query(text: str):
    with pytest.raises(NotSql):
        parse(text)


@pytest.mark.parametrize(
    "call", ["read_csv('/etc/passwd')", "read_parquet('x')", "READ_TEXT('x')", "glob('*')", "query('SELECT 1')",
             "sqlite_scan('a', 'b')", "parquet_metadata('x')"],
)  # fmt: skip
def test_what_reads_files_is_refused_wherever_it_stands(call: str):
    for text in (f"SELECT * FROM {call}", f"SELECT 1 FROM a WHERE x IN (SELECT y FROM {call} AS t(y))"):
        with pytest.raises(NotSql, match="reads what is no table; load it with a spec of its own"):
            parse(text)
    with pytest.raises(NotSql, match="reads what is no table"):
        condition(f"x IN (SELECT y FROM {call})")


KINDS = {"text": "VARCHAR", "timestamp": "TIMESTAMPTZ", "bool": "BOOLEAN"}


@pytest.mark.parametrize("name", [name for name in specs.names(REPOSITORY) if (REPOSITORY / "models" / name).is_dir()])
def test_the_models_of_the_repository_read_declared_columns_only(workspace, name: str):
    """So they are made of empty tables, and each has no rows then; one that reads a list inside rows waits for some."""
    made = workspace(name)
    read = [spec for spec in specs.load_all(made.root) if spec.name != name]  # by the models of this one
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        for spec in [*read, specs.load(REPOSITORY, name)]:
            _empty_tables(connection, spec)
    result = made.etl("models", *(spec.name for spec in read), name, "--env", "test", "--output", "json")
    assert result.code == 0, result
    for model in result.json[-1]["models"]:
        if model["message"] != "there is no table recently_played__track__artists yet":
            assert model["status"] == "made", model
            assert made.query(f"SELECT * FROM {result.json[-1]['dataset']}.{model['name']}") == []


def _empty_tables(connection: duckdb.DuckDBPyConnection, spec: specs.Spec) -> None:
    dataset = spec.dataset or spec.name
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {dataset}")
    for resource in outline(REPOSITORY, spec).resources.values():
        declared = resource.compute_table_schema()["columns"].items()
        columns = ", ".join(f'"{n}" {KINDS.get(c["data_type"], c["data_type"])}' for n, c in declared)
        connection.execute(f"CREATE TABLE IF NOT EXISTS {dataset}.{resource.table_name} ({columns})")


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (
            "SELECT id,\n  amuont AS a FROM things",
            ':2: Binder Error: Referenced column "amuont" not found in FROM clause; Candidate bindings: "am',
        ),
        (
            "SELECT\nnosuch(id) AS x\nFROM things",
            ":2: Catalog Error: Scalar Function with name nosuch does not exist; Did you",
        ),
    ],
)
def test_a_failing_model_is_told_with_its_line_and_what_is_meant(workspace, sql, said):
    made = promised.install(workspace(), models="{}")
    made.write("models/toy/mine.sql", sql)
    run = made.etl("run", "toy", "--env", "test")
    assert run.code == 1
    assert run.err.startswith(f"ERROR: models/toy/mine.sql{said}"), run.err


def test_no_new_rows_is_said_beside_what_was_made(workspace):
    made = promised.install(workspace(), models="{}")
    assert made.etl("run", "toy", "--env", "test").code == 0
    made.write("models/toy/mine.sql", "SELECT id FROM things")
    verdict = made.etl("run", "toy", "--env", "test", "--select", "things").out.splitlines()[-1]
    assert verdict.startswith("toy: ok, no new rows, 1 model made, into toy in ")
