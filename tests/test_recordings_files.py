"""Recordings of CSV lists on their way into a bucket and into `audio_files`, beside what the original left there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from pipelines import configuration, environment
from pipelines.warehouse import open_warehouse
from sources.recordings.audio import Naming
from tests import files_toy as toy
from tests.recordings_toy import PREFIX, Site, sha1, site
from tests.workspace import REPOSITORY, Workspace

__all__ = ["site"]  # a fixture

COLUMNS = [
    ("id", "bigint", "NO", "nextval('media_pipeline.audio_files_id_seq'::regclass)"),
    ("phone", "text", "YES", None),
    ("campaign_name", "text", "YES", None),
    ("recording_id", "text", "YES", None),
    ("url", "text", "NO", None),
    ("url_sha1", "text", "NO", None),
    ("content_sha256", "text", "YES", None),
    ("started", "timestamp with time zone", "YES", None),
    ("stopped", "timestamp with time zone", "YES", None),
    ("duration_seconds", "double precision", "YES", None),
    ("index_in_phone", "integer", "YES", None),
    ("b2_object_key", "text", "YES", None),
    ("local_path", "text", "YES", None),
    ("file_size_bytes", "bigint", "YES", None),
    ("source_table", "text", "YES", None),
    ("source_row_id", "bigint", "YES", None),
    ("metadata", "jsonb", "YES", None),
    ("created_at", "timestamp with time zone", "NO", "now()"),
]
FALLBACK = """
CREATE SCHEMA media_pipeline;
CREATE TABLE media_pipeline.audio_files (
    id SERIAL PRIMARY KEY, phone VARCHAR, campaign_name VARCHAR, recording_id VARCHAR, url VARCHAR, url_sha1 VARCHAR,
    content_sha256 VARCHAR, started TIMESTAMP, stopped TIMESTAMP, duration_seconds FLOAT, index_in_phone INTEGER,
    b2_object_key VARCHAR, local_path VARCHAR, file_size_bytes BIGINT, created_at TIMESTAMP DEFAULT now()
);
CREATE TABLE media_pipeline.transcriptions (
    audio_file_id BIGINT REFERENCES media_pipeline.audio_files (id) ON DELETE CASCADE, words TEXT
);
CREATE TABLE media_pipeline.audio_failures (
    url_sha1 TEXT PRIMARY KEY, url TEXT, first_seen_at TIMESTAMPTZ, last_attempt_at TIMESTAMPTZ, attempts INTEGER,
    status TEXT, http_status INTEGER, error TEXT, ignore_until TIMESTAMPTZ
);
"""  # the tables that the original made where it found none, and one that refers to them


@pytest.fixture
def pg(workspace: Callable[..., Workspace], postgres_url: str) -> Iterator[Site]:
    """On Postgres."""
    made = workspace("recordings")
    made.postgres(postgres_url)
    with toy.host() as host:
        yield Site(made, host, "pg")


@pytest.fixture
def ask(postgres_url: str) -> Iterator[Callable[..., list[Any]]]:
    """Ask its Postgres."""
    with closing(psycopg2.connect(postgres_url)) as connection:
        connection.autocommit = True

        def asked(sql: str, *values: Any) -> list[Any]:
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []

        yield asked


def test_one_recording_is_one_file_whatever_lists_and_slices_name_it(site: Site) -> None:
    site.list(1, 2, 3, 4)
    site.list(5, id="rec1")  # another URL of the first one
    assert "1 file moved" in site.run("--limit", "1").out
    site.list(0)  # earlier than all of its phone
    site.run()
    rows = site.workspace.query(
        "SELECT recording_id, index_in_phone, b2_object_key FROM media_pipeline.audio_files ORDER BY started"
    )
    assert [row[2] for row in rows] == [site.key(number) for number in range(5)]
    assert [row[:2] for row in rows] == [("rec0", 1), ("rec1", 1), ("rec2", 2), ("rec3", 2), ("rec4", 3)]
    assert site.objects() == sorted(site.key(number) for number in range(5))
    assert site.host.asked == {f"/vr/PR_{number}.mp3": 1 for number in range(5)}
    site.run()
    assert site.host.gets == 5


def test_a_pseudonym_is_in_no_name_and_no_log(site: Site) -> None:
    site.list(1, 2)
    site.host.bodies["/vr/PR_2.mp3"] = 500
    words = ("--with", "pseudonymise=true", "--with", f"b2_prefix={PREFIX}", "--max-retry", "0")
    missing = site.etl("run", "recordings", *words)
    assert missing.code == 2
    assert "recordings.pseudonym_secret: pseudonymise needs a secret of at least 16 characters" in missing.err
    secret = {"SOURCES__RECORDINGS__PSEUDONYM_SECRET": "long enough for all"}
    run = site.etl("run", "recordings", *words, "--log-level", "debug", **secret)
    assert run.code == 3
    assert "(rec2, line 3 of its list)" in run.out
    (key,) = site.objects()
    assert key.startswith(f"{PREFIX}/p_")
    traces = [file.read_text() for file in (site.workspace.root / "runs").rglob("*.json*")]
    for said in (key, run.out, run.err, *traces):
        assert "91500000" not in said
        assert "long enough" not in said


def test_the_command_to_repeat_what_failed_has_what_the_run_was_given(site: Site) -> None:
    site.list(1, 2)
    site.host.bodies["/vr/PR_2.mp3"] = 404
    given = ("--with", f"csv_path={site.workspace.variables.pop('SOURCES__RECORDINGS__CSV_PATH')}", "--transfers", "2")
    partial = site.etl(
        "run", "recordings", "--with", f"b2_prefix={PREFIX}", *given, "--limit", "2", "--run-id", "first"
    )
    assert partial.code == 3
    assert "recordings.recordings: " + sha1(site.url(2)) + ": answered 404 (rec2, line 3 of calls.csv)" in partial.out
    retry = json.loads((site.workspace.root / "runs/first/error.json").read_text())["retry_command"]
    site.list(2)
    assert site.workspace.etl(*shlex.split(retry)[1:]).code == 0
    assert site.objects() == [site.key(2), site.key(1)]


def test_the_tables_of_postgres_are_those_of_the_original(pg: Site, ask: Callable[..., list[Any]]) -> None:
    pg.list(1, 2, 3)
    pg.run()
    found = ask(
        "SELECT column_name, data_type, is_nullable, column_default FROM information_schema.columns "
        "WHERE table_schema = 'media_pipeline' AND table_name = 'audio_files' AND column_name NOT LIKE '\\_dlt%%' "
        "ORDER BY ordinal_position"
    )
    assert found == COLUMNS
    indexes = {
        row[0].split(" USING ")[1]
        for row in ask(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'media_pipeline' AND tablename = 'audio_files'"
        )
    }
    assert {"btree (url_sha1)", "btree (recording_id) WHERE (recording_id IS NOT NULL)"} <= indexes
    assert {"btree (phone)", "btree (started)", "btree (id)"} <= indexes
    rows = ask(
        "SELECT url_sha1, source_table, local_path, source_row_id, metadata->>'codec' FROM media_pipeline.audio_files"
    )
    assert sorted(rows) == sorted((sha1(pg.url(n)), None, None, 100 + n, "mp3") for n in (1, 2, 3))
    (one,) = ask(
        "INSERT INTO media_pipeline.audio_files (url, url_sha1) VALUES ('x', 'y') RETURNING id, created_at IS NULL"
    )
    assert one == (4, False)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        ask("INSERT INTO media_pipeline.audio_files (url, url_sha1) VALUES ('x', 'y')")


def test_rows_of_the_original_are_recognised_and_kept(pg: Site, ask: Callable[..., list[Any]]) -> None:
    pg.list(1, 2, 3, 4)
    ask(FALLBACK)
    old = "INSERT INTO media_pipeline.audio_files (url, url_sha1, recording_id, b2_object_key) VALUES (%s, %s, %s, %s)"
    ask(old, pg.url(1), sha1(pg.url(1))[:10], "rec1", "audio/old/0001__one.mp3")  # of the first version
    ask(old, pg.url(2), sha1(pg.url(2)), "rec2", "audio/old/0002__two.mp3")
    ask(old, pg.url(3), sha1(pg.url(3))[:10], "rec3", None)  # never reached the bucket
    ask("INSERT INTO media_pipeline.transcriptions SELECT id, 'word' FROM media_pipeline.audio_files")
    ask("INSERT INTO media_pipeline.audio_failures (url_sha1, url, attempts) VALUES ('gone', 'https://x', 3)")
    pg.run()
    rows = ask("SELECT id, url_sha1, b2_object_key FROM media_pipeline.audio_files ORDER BY started NULLS FIRST, id")
    assert [row[1] for row in rows] == [sha1(pg.url(number)) for number in (1, 2, 3, 4)]
    assert [row[0] for row in rows[:3]] == [1, 2, 3]
    assert [row[2] for row in rows] == ["audio/old/0001__one.mp3", "audio/old/0002__two.mp3", pg.key(3), pg.key(4)]
    assert ask("SELECT count(*) FROM media_pipeline.transcriptions") == [(3,)]
    assert pg.objects() == [pg.key(4), pg.key(3)]
    assert set(pg.host.asked) == {"/vr/PR_3.mp3", "/vr/PR_4.mp3"}


RUNBOOK = (REPOSITORY / "docs/runbooks/recordings.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(console|sql)\n(.*?)```", RUNBOOK, re.S)
SETTINGS = re.findall(r"```toml\n(\[sources\.recordings\]\n.*?)```", RUNBOOK, re.S)


def test_the_runbook_is_run_from_its_start_to_its_end(
    pg: Site, ask: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pg.list(*range(12))
    calls = pg.workspace.root / "calls/august.csv"
    calls.parent.mkdir()
    (pg.workspace.root / "calls.csv").rename(calls)
    del pg.workspace.variables["SOURCES__RECORDINGS__CSV_PATH"]
    pg.workspace.write(".dlt/config.toml", "".join(SETTINGS))
    monkeypatch.chdir(pg.workspace.root)
    stored, answers, said = list[int](), list[Any](), dict[str, str]()
    for kind, text in BLOCKS:
        if kind == "sql":
            answers.append(ask(text.replace("%", "%%")))
            continue
        for line in text.splitlines():
            result = pg.workspace.etl(*shlex.split(line)[1:], SOURCES__CHESS__CONTACT="x")
            assert result.code == 0, (line, result.out, result.err)
            stored.append(len(pg.objects()))
            said[line.removeprefix(".venv/bin/etl ")] = result.out
    doctor, dry, batch, verify, status, dry_undo, undo = stored[:7]
    assert (doctor, dry, batch, verify, status, dry_undo, undo) == (0, 0, 10, 10, 10, 10, 0)
    assert stored[7:] == [12] * (len(stored) - 7)
    sample, count, repeated, failed, _ = answers
    assert {row[3] for row in sample} == {pg.key(number) for number in range(10)}, "the oldest ten"
    assert (count, repeated, failed) == ([(10,)], [], [])
    assert pg.host.gets == 22, "ten of them twice, as they were taken back"
    assert [text.splitlines()[-1] for line, text in said.items() if line.startswith("files adopt")] == [
        "recordings: 12 files adopted, 0 not; nothing was fetched",
        "recordings: 0 files would be adopted, 0 not; nothing was fetched",
    ]
    places = "SELECT phone, array_agg(index_in_phone ORDER BY started) FROM media_pipeline.audio_files GROUP BY phone"
    assert dict(ask(places)) == {f"+491500000{last}": [1, 2, 3, 4, 5, 6] for last in (0, 1)}


def test_a_dry_run_reads_the_lists_and_needs_neither_network_nor_database(site: Site) -> None:
    site.list(1, 2, 3)
    site.list(4, phone="")
    calls = site.workspace.root / "calls.csv"
    calls.write_text(calls.read_text() + "r,no address,+1,,,,,\n")
    toml = site.workspace.root / "destinations.toml"
    audio = '[pg.audio]\ndestination_type = "filesystem"\nbucket_url = "audio"\n'
    toml.write_text(f'{toml.read_text()}[pg.warehouse]\ndestination_type = "postgres"\n{audio}')
    away = {"DATABASE_URL": "postgresql://a:b@127.0.0.1:1/d"}
    words = ("run", "recordings", "--mode", "dry", "--with", f"b2_prefix={PREFIX}", "--env", "pg")
    dry = site.workspace.etl(*words, **away)
    shown = [line.strip() for line in dry.out.splitlines()]
    assert dry.code == 0, dry.err
    assert "lists of recordings: 4 files, 1 row refused" in shown
    assert f"e.g. {site.key(1)}" in shown
    assert "destination: could not be reached" in dry.out
    assert (site.host.gets, site.objects()) == (0, [])
    known = "of recordings to audio, of those that lists name: 0 B, {0} of unknown size; calls: {0} of class A"
    for said, given in ((4, ()), (3, ("--limit", "3"))):
        planned = site.etl("plan", "recordings", *given).out
        assert f"then moves {said} files {known.format(said)}" in planned
        assert "not known before" not in planned
    missing = site.workspace.etl(*words, "--with", "csv_path=gone.csv", "--output", "json", **away)
    (told,) = missing.json[0]["lists"] if isinstance(missing.json, list) else missing.json["lists"]
    assert (missing.code, "no file matches gone.csv" in told["trouble"]) == (2, True)


def test_a_work_list_is_read_from_postgres_by_and_by(pg: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pg.workspace.variables.items():
        monkeypatch.setenv(name, value)
    loaded = environment.load(pg.workspace.root, "pg")
    configuration.activate(loaded)
    with open_warehouse(loaded, "public") as warehouse:
        pages = warehouse.pages("SELECT n, '%' AS sign FROM generate_series(1, 5) AS rows(n)", 2)
        assert next(pages) == [{"n": 1, "sign": "%"}, {"n": 2, "sign": "%"}]
        assert warehouse.ask("SELECT count(*) FROM pg_cursors") == [(1,)], "the rest is still on the server"
        assert [len(page) for page in pages] == [2, 1]
        assert warehouse.ask("SELECT count(*) FROM pg_cursors") == [(0,)]


def test_what_a_url_says_of_its_user_is_not_handed_on() -> None:
    row = {"phone": "+1", "url": "https://me:secret@host/a@b.mp3?x=1"}
    assert Naming("audio", None).line(row)["url"] == "https://…@host/a@b.mp3?x=1"


def test_a_row_that_lost_its_object_gets_it_back_though_another_url_is_the_same(
    pg: Site, ask: Callable[..., list[Any]]
) -> None:
    pg.list(1)
    pg.run()
    (pg.workspace.root / "audio" / pg.key(1)).unlink()
    assert pg.etl("files", "verify", "recordings", "--fix").code == 0
    pg.list(0, id="rec1")  # an earlier one, which comes first
    pg.run()
    assert ask("SELECT id, b2_object_key FROM media_pipeline.audio_files") == [(1, pg.key(1))]
    assert pg.objects() == [pg.key(1)]
