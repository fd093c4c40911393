"""A spec that loads into the tables of another one: `into`."""

from __future__ import annotations

import pytest

from pipelines import configuration, environment, lock

SOURCE = '''\
"""Rows with a key."""

import dlt


@dlt.source(name="{name}", section="{name}")
def {name}():
    columns = {{"id": {{"data_type": "bigint"}}, "word": {{"data_type": "text"}}}}
    rows = [{{"id": number, "word": "{name}"}} for number in {numbers}]
    yield dlt.resource(rows, name="things", primary_key="id", columns=columns, write_disposition="merge")
'''


def written(made, name: str, numbers: list[int], more: str = "") -> None:
    made.write(f"specs/{name}.yaml", f"name: {name}\nabout: Rows for tests.\n{more}python: {{}}\n")
    made.write(f"sources/{name}.py", SOURCE.format(name=name, numbers=numbers))


@pytest.fixture
def pair(workspace):
    """A spec with a model, and one that loads into its table."""
    made = workspace()
    written(made, "pool", [1, 2])
    written(made, "filler", [2, 3], "dataset: pool\ninto: pool\n")
    made.write("models/pool/words.sql", "SELECT word, count(*) AS things FROM things GROUP BY word\n")
    return made


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("dataset: pool\ninto: pool\n", None),
        ("dataset: pool\n", "filler would both write pool.things; give one another dataset"),
        ("into: pool\n", "3:7: into: no spec 'pool' loads into filler; say dataset: pool"),
        ("dataset: pool\ninto: pol\n", "4:7: into: no spec 'pol' loads into pool; name a spec that is there"),
    ],
)
def test_tables_are_shared_where_a_spec_says_so(pair, more, told):
    written(pair, "filler", [3], more)
    result = pair.etl("validate")
    assert (result.code, told is None or told in result.out) == (2 if told else 0, True), result


def test_what_the_one_derives_is_made_and_exported_by_the_other_alone(pair):
    run = pair.etl("run", "filler", "--env", "test")
    assert (run.code, run.out.splitlines()[0]) == (0, "pool.things          2 rows"), "as SQL names it"
    assert pair.query("SELECT word, things FROM pool.words") == [("filler", 2)]
    result = pair.etl("export", "filler", "words", "--env", "test", "--to", "out", "--format", "csv")
    assert (result.code, (pair.root / "out" / "words.csv").read_text().splitlines()[1]) == (0, '"filler",2'), result


def test_rows_of_both_are_merged_and_the_models_of_the_one_know(pair):
    assert pair.etl("run", "pool", "filler", "--env", "test").code == 0
    words = "SELECT word, things FROM pool.words ORDER BY 1"
    assert pair.query(words) == [("filler", 2), ("pool", 1)]
    assert pair.etl("run", "pool", "--env", "test", "--mode", "backfill").code == 0
    assert pair.query(words) == [("filler", 1), ("pool", 2)]


@pytest.mark.parametrize("words", [("run", "filler", "--full-refresh"), ("rebuild", "filler", "--drop-direct")])
def test_shared_tables_are_not_dropped_by_the_way(pair, words):
    assert pair.etl("run", "pool", "--env", "test").code == 0
    result = pair.etl(*words, "--env", "test", "--yes")
    assert (result.code, "would drop the tables of pool" in result.err) == (2, True), result
    assert pair.query("SELECT count(*) FROM pool.things") == [(2,)]


CHANGES = (
    ("run", "filler"), ("state", "reset", "filler", "--yes"), ("quarantine", "replay", "filler"),
    ("erase", "filler", "--player", "somebody", "--yes"), ("erase", "filler", "--expired", "--yes"),
)  # fmt: skip


def test_the_two_never_run_at_once(pair, postgres_url):
    """On Postgres they would share a staging dataset, and one would lose its rows; nor is either changed meanwhile."""
    toml, spec = pair.root / "destinations.toml", pair.root / "specs/filler.yaml"
    pair.postgres(postgres_url)
    toml.write_text(toml.read_text() + "\n[pg.retention]\nruns_days = 1\n")
    spec.write_text(spec.read_text() + "subjects:\n  player: {rows: [things.word]}\n")
    assert pair.etl("run", "filler", "--env", "pg").code == 0
    with pair._environment({}):
        chosen = environment.load(pair.root, "pg")
        configuration.activate(chosen)
        with lock.held(chosen, "pool", "first"):
            results = [pair.etl(*words, "--env", "pg") for words in CHANGES]
    assert [(result.code, "held by run first of pool" in result.err) for result in results] == [(7, True)] * 5, results
