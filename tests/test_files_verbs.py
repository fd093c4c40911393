"""`etl files verify`, `undo` and `adopt`: rows against objects, batches taken back, and what older programs left."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fsspec.implementations.local import LocalFileSystem

from pipelines.files.adoptable import NotAdopted, _stored
from pipelines.files.audio import inspect
from pipelines.files.bodies import Body
from pipelines.files.book import Receipt
from pipelines.files.bucket import PATIENCE, Bucket
from pipelines.files.curl import performed
from pipelines.files.folder import Folder
from pipelines.files.steps import Signature
from pipelines.files.stores import Head
from pipelines.files.verify import judged
from pipelines.printing import counted
from sandbox.server import Sandbox, World
from sources.kit.errors import BadSetting
from sources.kit.files import FileItem
from sources.spinoco.processed import kept
from tests import files_toy as toy
from tests import killed
from tests.clouds.b2 import B2
from tests.clouds.s3 import KEY, SECRET
from tests.files_toy import mp3
from tests.killed import At
from tests.recordings_toy import PREFIX, Site, sha1, site
from tests.workspace import Result

__all__ = ["site"]  # a fixture
MANY = 5000
SHA, OTHER = "a" * 64, "b" * 64


def files(site: Site, verb: str, *words: str) -> Result:
    """A verb on the files of recordings."""
    return site.etl("files", verb, "recordings", *words)


def change(site: Site, sql: str) -> None:
    with duckdb.connect(str(site.workspace.root / "warehouse.duckdb")) as connection:
        connection.execute(sql)


def path(site: Site, key: str) -> Path:
    return site.workspace.root / "audio" / key


@pytest.mark.parametrize(
    ("receipt", "head", "expected"),
    [
        ((9, SHA, None), (9, SHA, None), ("=", "", None)),
        ((9, SHA, "e"), (9, None, '"e"'), ("=", "", None)),
        ((None, SHA, None), (9, SHA, None), ("=", "", None)),
        ((9, SHA, None), None, ("+", "is not there", "move again")),
        ((9, SHA, None), (8, SHA, None), ("*", "has 8 bytes, its row says 9", "move again")),
        ((9, SHA, None), (9, OTHER, None), ("*", "its bytes have another hash", "move again")),
        ((9, None, None), (9, SHA, None), ("*", "its row has no hash", "write its hash")),
        ((9, None, "e"), (9, None, "e"), ("*", "its row has no hash", "read it")),
        ((9, SHA, "e"), (9, None, "f"), ("*", "somebody else stored it since", "read it")),
        ((9, SHA, None), (9, None, "f"), ("*", "tells no hash, so somebody else stored it", "read it")),
    ],
)
def test_how_an_object_compares_with_its_row(receipt: Any, head: Any, expected: tuple[str, str, str]) -> None:
    there = head and Head("k", head[0], head[1], etag=head[2])
    finding = judged(Receipt("i", "k", *receipt), there)
    assert (finding.sign, finding.what, finding.mend) == expected


def test_each_difference_is_found_among_thousands_and_only_that_is_mended(site: Site) -> None:
    site.list(1, 2, 3, 4, 5)
    site.run()
    data = path(site, site.key(1)).read_bytes()
    bulk = path(site, "audio/bulk")
    bulk.mkdir()
    for number in range(MANY - 5):
        (bulk / f"{number}.mp3").write_bytes(data)
    change(
        site,
        "INSERT INTO media_pipeline.audio_files BY NAME SELECT * EXCLUDE (n) REPLACE ('u' || n AS url, "
        "sha1('u' || n) AS url_sha1, NULL AS recording_id, 'audio/bulk/' || n || '.mp3' AS b2_object_key) "
        f"FROM media_pipeline.audio_files, range({MANY - 5}) AS numbers(n) WHERE recording_id = 'rec1'",
    )
    assert files(site, "verify", "--list").out.splitlines()[0] == f"= {MANY} as their rows say"

    path(site, site.key(1)).unlink()  # missing
    truncated, changed = (path(site, site.key(number)) for number in (2, 3))
    truncated.write_bytes(truncated.read_bytes()[:-100])
    changed.write_bytes(b"x" + changed.read_bytes()[1:])
    change(site, "UPDATE media_pipeline.audio_files SET content_sha256 = NULL WHERE recording_id = 'rec4'")
    (bulk / "orphan.mp3").write_bytes(data)
    gone = f"audio/bulk/{MANY - 6}.mp3"
    path(site, gone).unlink()  # no list names it
    before = {name: path(site, name).stat().st_mtime_ns for name in site.objects()}

    found = files(site, "verify", "--list", "--output", "json")
    assert (found.code, found.json["counts"]) == (4, {"=": MANY - 5, "+": 2, "-": 1, "*": 3})
    signs = {each["key"]: each["sign"] for each in found.json["found"]}
    expected = {site.key(1): "+", gone: "+", site.key(2): "*", site.key(3): "*", site.key(4): "*"}
    assert signs == {**expected, "audio/bulk/orphan.mp3": "-"}
    unknown = files(site, "verify", "--only", "rec5,nobody")
    assert (unknown.code, unknown.out.splitlines()[0]) == (3, "= 1 as its row says")
    assert "nobody: no file that was moved, or failed, has this name" in unknown.err
    two = files(site, "verify", "--only", "rec1,rec5").out.splitlines()
    assert two[:2] == [f"+ {site.key(1)}: is not there", "= 1 as its row says"]

    mended = files(site, "verify", "--list", "--fix")
    assert mended.code == 4, "the orphan and the file that no list names are left"
    assert "3 will be moved again, 1 hash written, 2 left as they are" in mended.out
    asked = site.host.gets
    site.run()
    assert site.host.gets == asked + 3
    after = {name: path(site, name).stat().st_mtime_ns for name in site.objects()}
    assert {name for name in after if after[name] != before.get(name)} == {site.key(number) for number in (1, 2, 3)}
    left = files(site, "verify", "--list", "--output", "json").json
    assert left["counts"] == {"=": MANY - 1, "+": 1, "-": 1, "*": 0}


def test_a_batch_is_taken_back(site: Site) -> None:
    site.list(1, 2)
    site.run()
    site.list(3, 4)
    site.host.bodies["/vr/PR_4.mp3"] = b"<html>"
    test = ("--with", "b2_prefix=audio/test")
    assert site.etl("run", "recordings", *test).code == 3
    orphan = path(site, "audio/test/orphan.mp3")
    orphan.write_bytes(b"x")
    whole = site.objects()

    assert files(site, "undo").code == 2
    assert "give --only, --prefix or --since" in files(site, "undo", "--yes").err
    assert files(site, "undo", "--list", "--only", "rec3", "--yes").code == 2
    asked = files(site, "undo", "--prefix", "audio/test/")
    assert (asked.code, "add --yes to confirm" in asked.err) == (2, True)
    dry = files(site, "undo", "--prefix", "audio/test/", "--list", "--dry-run", "--output", "json")
    mine = [key for key in whole if key.startswith(("audio/test/", "quarantine/audio/test/"))]
    assert sorted(dry.json["objects"]) == mine
    assert site.objects() == whole

    done = files(site, "undo", "--prefix", "audio/test/", "--list", "--yes")
    assert (done.code, done.out.splitlines()[-1]) == (0, "recordings: 3 objects and 2 rows deleted")
    assert site.objects() == [site.key(2), site.key(1)]
    assert site.workspace.query("SELECT count(*) FROM media_pipeline.audio_files") == [(2,)]
    assert site.workspace.query("SELECT count(*) FROM media_pipeline.audio_failures") == [(0,)]
    assert files(site, "undo", "--since", "2099-01-01", "--yes").out == "recordings: 0 objects and 0 rows deleted\n"
    assert files(site, "undo", "--since", "2024-01-01", "--only", "rec1", "--yes").code == 0
    again = files(site, "undo", "--only", "rec1", "--yes")
    assert (again.code, "rec1: no file that was moved, or failed, has this name" in again.err) == (0, True)
    assert site.objects() == [site.key(2)]
    site.host.bodies["/vr/PR_4.mp3"] = mp3(4, 1)
    site.run()
    assert site.objects() == sorted(site.key(number) for number in (1, 2, 3, 4))


def test_what_rows_of_others_name_is_nobody_elses(site: Site) -> None:
    """Of another spec in the same store, and of a row that stays."""
    site.list(1, 2, 3)
    site.run()
    toy.vault(site.workspace, site.host, 3)
    site.host.bodies["/2.mp3"] = b"<html>"
    assert site.etl("run", "vault").code == 3
    whole, stray = site.objects(), path(site, "calls/stray.mp3")
    stray.write_bytes(b"x")
    found = files(site, "verify", "--list", "--prefix", "calls/").out.splitlines()
    assert found[0] == "- calls/stray.mp3: no row names it"
    assert "- 1 object without a row" in found
    for prefix in ("calls/", "quarantine/calls/", "quarantine/"):
        assert files(site, "undo", "--list", "--prefix", prefix, "--yes").code == 0
    assert (site.objects(), stray.exists()) == (whole, False)
    site.list(9)
    site.host.bodies["/vr/PR_9.mp3"] = b"<html>"
    assert site.etl("run", "recordings", "--with", f"b2_prefix={PREFIX}").code == 3
    with_quarantine = site.objects()
    assert files(site, "undo", "--list", "--prefix", "quarantine/", "--yes").code == 0
    assert site.objects() == with_quarantine != whole
    whole = with_quarantine

    change(site, f"UPDATE media_pipeline.audio_files SET b2_object_key = '{site.key(2)}' WHERE recording_id = 'rec1'")
    undone = files(site, "undo", "--only", "rec1", "--yes")
    assert (undone.code, undone.out) == (0, "recordings: 0 objects and 1 row deleted\n")
    assert f"left as it is: {site.key(2)}: {sha1(site.url(2))} names it, too" in undone.err
    assert site.objects() == whole

    moment = At("pipelines.files.journal:Journal.receipts")
    toy.vault(site.workspace, site.host, 4)
    assert killed.start(site.workspace, "run", "vault", "--env", "test", moment=moment).ended().code == -signal.SIGKILL
    journal = site.workspace.root / ".dlt" / "state"
    (journal,) = journal.rglob("vault.recordings.jsonl")
    with journal.open("a") as lines:
        lines.write('{"stored":"r005","receipt":{"id":"r005","object_key":"calls/r005.mp3"}}\n')
    path(site, "calls/r005.mp3").write_bytes(b"x")
    whole = site.objects()
    assert {"calls/r004.mp3", "calls/r005.mp3"} <= {*whole}
    assert files(site, "undo", "--list", "--prefix", "calls/", "--yes").code == 0
    assert site.objects() == whole


def test_a_destination_of_another_name_may_be_the_same_place(site: Site) -> None:
    site.list(1)
    site.run()
    toml = site.workspace.root / "destinations.toml"
    toml.write_text(toml.read_text() + '[test.deeper]\ndestination_type = "filesystem"\nbucket_url = "audio/deep"\n')
    toy.vault(site.workspace, site.host, 2, "to: deeper")
    assert site.etl("run", "vault").code == 0
    whole = site.objects()
    assert "deep/calls/r001.mp3" in whole
    assert files(site, "undo", "--list", "--prefix", "deep/", "--yes").code == 0
    assert site.objects() == whole


def test_what_another_run_stores_meanwhile_is_not_nobodys(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.list(1)
    site.run()
    toy.vault(site.workspace, site.host, 1)
    assert site.etl("run", "vault").code == 0
    (state,) = (site.workspace.root / ".dlt").rglob("files")
    listed = Folder.listed

    def meanwhile(store: Folder, prefix: str) -> Iterator[Head]:
        (state / "vault.recordings.jsonl").write_text(
            '{"intends":{"id":"r002","key":"calls/r002.mp3","bytes":1,"sha256":""}}\n'
        )
        path(site, "calls/r002.mp3").write_bytes(b"x")
        return listed(store, prefix)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "listed", meanwhile)
        assert files(site, "undo", "--list", "--prefix", "calls/", "--yes").code == 0
    assert {"calls/r001.mp3", "calls/r002.mp3"} <= {*site.objects()}
    aside = path(site, "quarantine/calls/r003.mp3")
    aside.parent.mkdir(parents=True)
    aside.write_bytes(b"x")
    (state / "vault.recordings.jsonl").write_text('{"aside":"quarantine/calls/r003.mp3"}\n')
    undone = files(site, "undo", "--list", "--prefix", "quarantine/", "--yes")
    assert ("quarantine/calls/r003.mp3: vault names it, too" in undone.err, aside.exists()) == (True, True)


def test_a_store_of_another_spec_that_has_nothing_in_it_is_not_asked_for(site: Site) -> None:
    """Nor are the credentials that it would need."""
    site.list(1)
    site.run()
    toml = site.workspace.root / "destinations.toml"
    toml.write_text(toml.read_text() + '[test.far]\ndestination_type = "filesystem"\nbucket_url = "s3://far"\n')
    toy.vault(site.workspace, site.host, 1, "to: far")
    undone = files(site, "undo", "--only", "rec1", "--yes")
    assert (undone.code, site.objects()) == (0, []), undone.err


@pytest.mark.parametrize("misleading", ["x/../{}", "/{}"])
def test_no_verb_meets_an_object_that_a_key_only_leads_to(site: Site, misleading: str) -> None:
    site.list(1, 2)
    site.run()
    whole, key = site.objects(), misleading.format(site.key(2))
    change(site, f"UPDATE media_pipeline.audio_files SET b2_object_key = '{key}' WHERE recording_id = 'rec1'")
    for words in (("--only", "rec1"), ("--since", "2024-01-01")):
        refused = files(site, "undo", *words, "--yes")
        assert refused.code == 1
        assert f"recordings: {key}: leads to another object, by its " in refused.err
        assert site.objects() == whole
    found = files(site, "verify")
    (line, *_) = found.out.splitlines()
    assert (found.code, line.startswith(f"+ {key}: leads to another object, by its ")) == (4, True)
    listed = files(site, "verify", "--list", "--output", "json").json
    assert (listed["counts"]["+"], listed["found"][0]["what"]) == (1, line.removeprefix(f"+ {key}: "))
    assert files(site, "verify", "--output", "json").json["counts"] == {"=": 1, "+": 1, "-": None, "*": 0}
    assert "1 will be moved again" in files(site, "verify", "--fix").out
    site.run()
    assert (files(site, "verify").code, site.objects()) == (0, whole)


def test_no_file_is_lost_whose_row_the_next_run_writes_again(site: Site) -> None:
    site.list(1, 2)
    words = ("run", "recordings", "--with", f"b2_prefix={PREFIX}", "--env", "test")
    moment = At("pipelines.files.journal:Journal.forget")
    assert killed.start(site.workspace, *words, moment=moment).ended().code == -signal.SIGKILL
    for words in (("undo", "--only", "rec1", "--yes"), ("verify", "--fix")):
        refused = files(site, *words)
        assert (
            refused.code,
            "a run that died has stored files whose rows the next one writes; first etl run" in refused.err,
        ) == (1, True)
    assert files(site, "undo", "--only", "rec1", "--dry-run").code == 0
    site.run()
    assert files(site, "undo", "--only", "rec1", "--yes").code == 0
    site.run()
    assert files(site, "verify").out.splitlines()[0] == "= 2 as their rows say"


def listed_only(site: Site) -> None:
    """Load the lists without moving a file."""
    for verb in ("fetch", "ingest"):
        result = site.etl(verb, "recordings")
        assert result.code == 0, result.err


def test_objects_of_the_original_are_adopted_by_their_names(site: Site) -> None:
    site.list(1, 2, 3, 4)
    listed_only(site)
    for number in (1, 2, 3):
        folder, _, name = site.key(number).removeprefix(PREFIX).rpartition("/")
        old = path(site, f"audio/old{folder}/{number:04}__{name}")
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_bytes(mp3(number, 1) if number < 3 else b"")
    (old.parent / "0009__notes.mp3").write_bytes(b"x")
    words = ("--prefix", "audio/old/", "--output", "json")
    dry, adopted, again = (files(site, "adopt", *words, *more) for more in (("--dry-run",), (), ()))
    expected = [sha1(site.url(2)), sha1(site.url(1))]
    refused = {
        "audio/old/+4915000001/0003__" + site.key(3).rpartition("/")[2]: "has 0 bytes, its source says more than none",
        "audio/old/+4915000001/0009__notes.mp3": "no listed file without a receipt has this name",
    }
    assert (dry.code, dry.json["adopted"], dry.json["refused"]) == (3, expected, refused)
    assert (adopted.code, adopted.json["adopted"], adopted.json["refused"]) == (3, expected, refused)
    assert (again.code, again.json["adopted"]) == (3, [])
    assert site.host.gets == 0
    assert "2 files moved" in site.run().out
    assert set(site.host.asked) == {"/vr/PR_3.mp3", "/vr/PR_4.mp3"}
    assert files(site, "verify").out.splitlines()[0] == "= 4 as their rows say"


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        (At("dlt.pipeline.pipeline:Pipeline.normalize", nth=2), 1),
        (At("dlt.pipeline.pipeline:Pipeline.load", nth=2), 1),
        (At("dlt.pipeline.pipeline:Pipeline.load", "after"), 3),
    ],
    ids=str,
)
def test_an_adoption_that_was_killed_goes_on(site: Site, moment: At, left: int) -> None:
    spec = site.workspace.root / "specs/recordings.yaml"
    text = spec.resolve().read_text().replace("failures: audio_failures}", "failures: audio_failures, checkpoint: 2}")
    spec.unlink()
    spec.write_text(text)
    site.list(1, 2, 3, 4, 5)
    listed_only(site)
    for number in range(1, 6):
        path(site, site.key(number)).parent.mkdir(parents=True, exist_ok=True)
        path(site, site.key(number)).write_bytes(mp3(number, 1))
    words = ("files", "adopt", "recordings", "--prefix", PREFIX, "--env", "test")
    assert killed.start(site.workspace, *words, moment=moment).ended().code == -signal.SIGKILL
    assert f"{counted(left, 'file')} adopted, 0 not" in files(site, "adopt", "--prefix", PREFIX).out
    site.run()
    assert site.host.gets == 0
    assert files(site, "verify").out.splitlines()[0] == "= 5 as their rows say"
    assert site.workspace.query("SELECT count(*), count(DISTINCT url_sha1) FROM media_pipeline.audio_files") == [(5, 5)]


def test_rows_of_another_table_are_adopted_once_their_objects_are_there(site: Site) -> None:
    site.list(1, 2, 3, 4, 5)
    listed_only(site)
    rows = []
    for number in (1, 2, 3):
        data = mp3(number, 1)
        path(site, f"old/{number}.mp3").parent.mkdir(parents=True, exist_ok=True)
        if number != 3:
            path(site, f"old/{number}.mp3").write_bytes(data)
        digits = 10 if number == 1 else 40
        size = len(data) + (number == 2)
        rows.append((site.url(number), sha1(site.url(number))[:digits], f"old/{number}.mp3", size))
    rows.append((site.url(5), sha1(site.url(5)), "old/../old/1.mp3", len(mp3(1, 1))))
    rows += [(site.url(4), sha1(site.url(4)), None, None), ("SKIPPED: gone", "0" * 32, None, None)]
    change(site, "CREATE TABLE main.audio_files (url TEXT, url_sha1 TEXT, b2_object_key TEXT, file_size_bytes BIGINT)")
    for row in rows:
        change(site, "INSERT INTO main.audio_files VALUES " + str(row).replace("None", "NULL"))
    assert "name one place" in files(site, "adopt").err
    assert "has no rows" in files(site, "adopt", "--table", "main.nothing").err
    adopted = files(site, "adopt", "--table", "main.audio_files", "--output", "json")
    size = rows[1][3]
    assert adopted.json == {
        "spec": "recordings",
        "dry_run": False,
        "adopted": [sha1(site.url(1))],
        "bytes": len(mp3(1, 1)),
        "refused": {
            f"audio_files {sha1(site.url(2))}": f"its file_size_bytes is {size}, that of the object {size - 1}; "
            "see: etl files verify",
            f"audio_files {sha1(site.url(3))}": "its object is not there; etl files verify --fix has it moved again",
            f"audio_files {sha1(site.url(4))}": "names no object; the next run moves its file",
            f"audio_files {sha1(site.url(5))}": "old/../old/1.mp3: leads to another object, by its .. part; "
            "correct the key in its row",
            f"audio_files {'0' * 32}": "is no row of a file",
        },
    }
    assert adopted.code == 3
    assert files(site, "adopt", "--table", "main.audio_files", "--output", "json").json["adopted"] == []
    site.run()
    assert sorted(site.host.asked) == [f"/vr/PR_{number}.mp3" for number in (2, 3, 4, 5)]
    hashes = site.workspace.query(
        "SELECT content_sha256 FROM media_pipeline.audio_files WHERE b2_object_key LIKE 'old/%'"
    )
    assert hashes == [(hashlib.sha256(mp3(1, 1)).hexdigest(),)]


def test_no_file_is_adopted_whose_key_no_store_should_have(tmp_path: Path) -> None:
    store, data = Folder(LocalFileSystem(), str(tmp_path)), mp3(1, 1)
    item = FileItem("i", "http://host/i", "a\\b.mp3", {})
    body = Body(memoryview(data), len(data), hashlib.sha256(data).hexdigest())
    with pytest.raises(NotAdopted, match="its key has control characters or a backslash"):
        _stored(store, item, body, inspect(memoryview(data), "mp3"), dry_run=False)
    assert not [*tmp_path.iterdir()]


def test_tables_that_name_no_object_are_no_trouble(site: Site) -> None:
    """Such as an older program may have left."""
    site.list(1, 2)
    site.host.bodies["/vr/PR_2.mp3"] = b"<html>"
    assert site.etl("run", "recordings", "--with", f"b2_prefix={PREFIX}").code == 3
    for table, column in (("audio_failures", "quarantine_key"), ("audio_files", "b2_object_key")):
        change(site, f"ALTER TABLE media_pipeline.{table} DROP COLUMN {column}")
        assert files(site, "undo", "--prefix", PREFIX, "--dry-run").code == 0
        found = files(site, "verify", "--list", "--prefix", f"{PREFIX}/")
    assert found.out.splitlines() == [
        f"- {site.key(1)}: no row names it",
        "= 0 as their rows say",
        "+ 0 rows without their object",
        "- 1 object without a row",
        "* 0 objects that differ from their rows",
    ]


def test_nothing_is_adopted_before_the_lists_are_known(site: Site) -> None:
    site.list(1)
    change(site, "SELECT 1")
    result = files(site, "adopt", "--prefix", "audio/")
    assert (result.code, "etl fetch recordings --env test && etl ingest recordings --env test" in result.err) == (
        2,
        True,
    )


STATE = """
CREATE TABLE schema_meta (key TEXT PRIMARY KEY, value TEXT);
INSERT INTO schema_meta VALUES ('schema_version', '1');
CREATE TABLE recordings (
    spinoco_recording_id TEXT PRIMARY KEY, spinoco_call_guid TEXT, recording_id TEXT, recording_date_ms INTEGER,
    size_bytes INTEGER, content_etag TEXT, status TEXT NOT NULL DEFAULT 'pending', retry_count INTEGER DEFAULT 0
);
"""


def test_what_the_older_spinoco_program_downloaded_is_adopted_from_its_folders(workspace, tmp_path) -> None:
    made = workspace("spinoco")
    with Sandbox(World(records=8), tmp_path / "upstream") as vendor:
        made.point_at(vendor.settings("spinoco"))
        for verb in ("fetch", "ingest"):
            assert made.etl(verb, "spinoco", "--env", "test").code == 0
        listed = made.query(
            "SELECT spinoco_recording_id, recording_id, spinoco_call_guid FROM spinoco.call_recordings "
            "WHERE available ORDER BY started_at"
        )
        assert len(listed) > 4
        made.etl("run", "spinoco", "--env", "test", "--limit", "4")
        keys = dict(made.query("SELECT spinoco_recording_id, object_key FROM spinoco.recordings"))
        data = {guid: (made.root / "audio" / keys[guid]).read_bytes() for guid, *_ in listed[:4]}
        assert made.etl("files", "undo", "spinoco", "--prefix", "spinoco/", "--yes", "--env", "test").code == 0
        runs = tmp_path / "output" / "runs"
        names = [f"01A/data/audio/{listed[0][0]}", f"01B/data/audio/{listed[1][1]}", f"01A/data/audio/{listed[2][0]}"]
        for number, name in enumerate(names):
            file = runs / f"{name}.ogg"
            file.parent.mkdir(parents=True, exist_ok=True)
            content = data[listed[number][0]]
            file.write_bytes(content[:-50] if number == 2 else content)
        state = tmp_path / "processed.sqlite"
        with closing(sqlite3.connect(state)) as database:
            database.executescript(STATE)
            rows = [(*one, 1, "downloaded") for one in listed[:4]]
            rows += [("unknown", "u", "c", 2, "downloaded"), ("p", "p", "c", 3, "pending")]
            names = "spinoco_recording_id, recording_id, spinoco_call_guid, recording_date_ms, status"
            database.executemany(f"INSERT INTO recordings ({names}) VALUES (?, ?, ?, ?, ?)", rows)
            database.commit()
        asked = len(vendor.requests)
        words = ("files", "adopt", "spinoco", "--records", str(state), "--folder", str(runs), "--output", "json")
        dry = made.etl(*words, "--dry-run", "--env", "test")
        assert not list((made.root / "audio").rglob("*.ogg"))
        adopted = made.etl(*words, "--env", "test")
        assert dry.json["adopted"] == adopted.json["adopted"] == sorted([listed[0][0], listed[1][0]])
        refused = {key.removeprefix("processed.sqlite "): why for key, why in adopted.json["refused"].items()}
        assert refused.pop(listed[2][0]).startswith(f"{listed[2][0]}.ogg: ")
        assert refused == {
            listed[3][0]: "its file is in none of the folders",
            "unknown": "no list names it, or it has a receipt",
        }
        assert adopted.code == 3
        assert made.etl(*words, "--env", "test").json["adopted"] == []
        assert len(vendor.requests) == asked
        stored = made.query(
            "SELECT spinoco_recording_id, object_key, bytes, sha256, codec FROM spinoco.recordings ORDER BY 1"
        )
        assert stored == [
            (guid, keys[guid], len(data[guid]), hashlib.sha256(data[guid]).hexdigest(), "vorbis")
            for guid in adopted.json["adopted"]
        ]
        assert made.etl("files", "verify", "spinoco", "--env", "test").code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no database", "is no processed.sqlite of Spinoco: file is not a database"),
        (None, "of version 2, 1 is known"),
    ],
)
def test_records_that_are_none_are_told(tmp_path, content, said) -> None:
    state = tmp_path / "a state"
    if content:
        state.write_bytes(content)
    else:
        with closing(sqlite3.connect(state)) as database:
            database.executescript(STATE.replace("'1'", "'2'"))
    with pytest.raises(BadSetting, match=said):
        list(kept(state))


def killed_upload(b2: B2, key: str) -> str:
    """Begin one in parts, as a process does that is killed then."""
    store = Bucket("audio", b2.url, "calls", "", Signature("eu-central-003", KEY, SECRET))
    performed(store._asked(store._request("POST", key, {"uploads": ""}), PATIENCE))
    return key


def test_a_bucket_is_asked_no_more_than_it_must_be(site: Site) -> None:
    toml = site.workspace.root / "destinations.toml"
    toml.write_text(toml.read_text().replace('bucket_url = "audio"', 'bucket_url = "s3://of-an-example"'))
    with B2("calls") as b2:
        site.workspace.variables |= {
            "BACKBLAZE_B2_S3_ENDPOINT": b2.url,
            "BACKBLAZE_B2_REGION": "eu-central-003",
            "BACKBLAZE_B2_KEY_ID": KEY,
            "BACKBLAZE_B2_APPLICATION_KEY": SECRET,
            "BACKBLAZE_B2_BUCKET": "calls",
        }
        site.list(1, 2, 3, 4)
        site.run("--limit", "2")
        assert b2.calls == {"A": 2}
        for number, data in ((3, mp3(3, 1)), (4, mp3(3, 1)[:-9])):  # as the original did: without a hash
            _, _, name = site.key(number).rpartition("/")
            b2.buckets.put(
                "calls", f"old/+491500000{number % 2}/0001__{name}", data, "binary/octet-stream", f"e{number}"
            )
        adopted = files(site, "adopt", "--prefix", "old/", "--output", "json")
        assert (adopted.code, len(adopted.json["adopted"]), b2.calls) == (0, 2, {"A": 2, "B": 2, "C": 1})
        hashless = files(site, "verify", "--log-level", "info")
        assert (hashless.code, hashless.out.splitlines()[-3:]) == (
            4,
            [
                "= 2 as their rows say",
                "+ 0 rows without their object",
                "* 2 objects that differ from their rows",
            ],
        )
        assert "asks audio for 4 objects (class B)" in hashless.err
        assert b2.calls == {"A": 2, "B": 6, "C": 1}
        assert "1 will be moved again, 1 hash written, 0 left" in files(site, "verify", "--fix").out
        b2.buckets.put("calls", site.key(1), b"x" * len(mp3(1, 1)), "audio/mpeg", "another")
        b2.buckets.put("calls", f"{PREFIX}/orphan.mp3", b"x", "audio/mpeg", "e")
        b2.buckets.put("calls", dotted := f"{PREFIX}/x/../orphan.mp3", b"y", "audio/mpeg", "f")
        begin = killed_upload(b2, f"{PREFIX}/killed.mp3")
        killed_upload(b2, f"{PREFIX}2/of-another.mp3")
        found = files(site, "verify", "--list", "--prefix", PREFIX + "/")
        assert found.out.splitlines()[:4] == [
            f"* {site.key(1)}: somebody else stored it since",
            f"- {PREFIX}/orphan.mp3: no row names it",
            f"- {dotted}: no row names it",
            f"- {PREFIX}/killed.mp3: was begun and is not finished, by a run that died or goes on",
        ]
        undone = files(site, "undo", "--list", "--prefix", f"{PREFIX}/", "--dry-run", "--output", "json")
        assert [key for key in undone.json["objects"] if "orphan" in key] == [f"{PREFIX}/orphan.mp3"]
        assert f"left as it is: {dotted}: leads to another object, by its .. part" in undone.err
        mended = files(site, "verify", "--list", "--prefix", begin, "--fix")
        assert "0 hashes written, 1 unfinished taken away, 0 left" in mended.out
        assert (mended.code, b2.unfinished) == (0, 1)
        assert "1 will be moved again" in files(site, "verify", "--fix").out
        site.run()
        assert files(site, "verify").code == 0
        assert [len(made.content) for made in b2.versions("calls", site.key(1))][-1] == len(mp3(1, 1))
        assert site.host.gets == 4
        b2.exceed("transaction", "^DELETE")
        assert files(site, "undo", "--prefix", PREFIX, "--list", "--yes").code == 5
        b2.heal()
        hidden = files(site, "undo", "--only", "rec1", "--yes")
        assert (hidden.code, "versions of deleted objects may stay in audio, hidden" in hidden.err) == (0, True)
        assert len(b2.versions("calls", site.key(1))) == 3
        gone = files(site, "undo", "--prefix", PREFIX, "--list", "--versions", "--yes")
        assert (gone.code, "hidden" in gone.err) == (0, False)
        assert b2.buckets.ever("calls", PREFIX) == [dotted]
