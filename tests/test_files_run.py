"""A run of a spec that moves files: what is moved, what is left, and what is told of it."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.files.declared import Move
from pipelines.files.folder import Folder
from pipelines.files.journal import read
from pipelines.files.mover import NotMoved
from pipelines.files.phase import settings_of
from pipelines.files.receipts import Receipts, failure_of
from pipelines.files.stores import Put, Refusal
from pipelines.files.tally import Tally
from pipelines.files.work import Prior
from pipelines.order import Order
from pipelines.report import Report
from pipelines.specs.types import GivesUp, Moves
from pipelines.trace import Progress, Trace
from sources.kit.files import FileItem, Files
from tests import files_toy as toy
from tests.workspace import REPOSITORY, Result, Workspace

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HTML = b"<!doctype html><html>gone</html>"


SUBJECTS = """
subjects:
  device:
    rows: [recordings.twin, audio_files.twin, audio_failures.twin]
    objects: [audio_files.object_key, audio_failures.quarantine_key]
"""


class Site:
    """A workspace with the vault, and its host."""

    def __init__(self, workspace: Workspace, host: toy.Host) -> None:
        self.workspace, self.host, self.bucket = workspace, host, workspace.root / "audio"

    def etl(self, *words: str) -> Result:
        return self.workspace.etl(*words, "--env", "test")

    def run(self, *words: str) -> Result:
        return self.etl("run", "vault", *words)

    def receipts(self) -> list[str]:
        return [id for (id,) in self.workspace.query("SELECT id FROM vault.audio_files ORDER BY id")]

    def failures(self, columns: str = "id, status, http_status, attempts, error, first_error") -> list[Any]:
        return self.workspace.query(f"SELECT {columns} FROM vault.audio_failures ORDER BY id")

    def objects(self) -> dict[str, int]:
        """Every object with when it was stored."""
        files = [file for file in self.bucket.rglob("*") if file.is_file()]
        return {file.relative_to(self.bucket).as_posix(): file.stat().st_mtime_ns for file in files}

    def mend(self, number: int) -> None:
        self.host.bodies[f"/{number}.mp3"] = toy.mp3(number, 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with toy.host() as host:
        yield Site(Workspace(tmp_path / "a workspace"), host)


def test_lists_may_be_loaded_without_their_files(site: Site) -> None:
    toy.vault(site.workspace, site.host, 3)
    only_lists = site.run("--exclude", "audio_files")
    assert (only_lists.code, site.host.gets, site.objects()) == (0, 0, {})
    assert site.workspace.query("SELECT count(*) FROM vault.recordings") == [(3,)]
    assert (site.run("--exclude", "notes").code, site.receipts()) == (0, ["r001", "r002", "r003"])


def test_what_rows_name_is_moved_once(site: Site) -> None:
    rows = toy.vault(site.workspace, site.host, 4)
    first = site.run("--output", "json")
    told, stored = first.json[0], site.objects()
    assert (first.code, told["files"]["recordings"]["moved"]) == (0, 4)
    assert told["tables"] == {"audio_files": 4, "notes": 1, "recordings": 4}
    assert set(stored) == {f"calls/{row['id']}.mp3" for row in rows}
    assert site.workspace.query("SELECT sum(bytes), min(seconds) FROM vault.audio_files") == [(4 * 8352, 1.008)]
    assert site.workspace.query("SELECT * FROM _etl.transfers") == []
    metrics = site.etl("metrics", "vault").out
    assert 'etl_run_files{spec="vault",environment="test",resource="recordings",state="moved"} 4' in metrics
    assert 'etl_run_file_bytes{spec="vault",environment="test",resource="recordings"} 33408' in metrics
    second = site.run()
    assert (second.code, site.host.gets, site.objects()) == (0, 4, stored)
    toy.write(site.workspace, [*rows, toy.row(site.host, 9)])
    assert (site.run().code, site.host.gets) == (0, 5)
    assert site.receipts() == ["r001", "r002", "r003", "r004", "r009"]


def test_what_fails_is_told_waits_and_is_repaired(site: Site) -> None:
    toy.vault(site.workspace, site.host, 4)
    site.host.bodies |= {"/2.mp3": 404, "/3.mp3": HTML}
    first = site.run("--output", "json")
    counts = first.json[0]["files"]["recordings"]
    assert (first.code, counts["moved"], counts["failed"], counts["quarantined"]) == (3, 2, 1, 1)
    assert sorted(error["unit"] for error in first.json[0]["errors"]) == ["recordings:r002", "recordings:r003"]
    (refused, strange) = site.failures()
    assert refused[:4] == ("r002", "transient", 404, 1)
    assert (*strange[:2], strange[3]) == ("r003", "quarantined", 1)
    assert "HTML" in strange[4]
    ((key,),) = site.workspace.query("SELECT quarantine_key FROM vault.audio_failures WHERE id = 'r003'")
    assert (site.bucket / key).read_bytes() == HTML
    asked = site.host.gets
    waiting = site.run()
    assert (waiting.code, site.host.gets) == (0, asked)
    assert "2 wait for their next try" in waiting.out
    states = site.etl("files", "status", "vault", "--output", "json").json["files"]["recordings"]
    assert {row["state"]: row["files"] for row in states} == {
        "stored": 2, "discovered": 0, "transient": 1, "quarantined": 1,
    }  # fmt: skip
    site.mend(2)
    site.mend(3)
    repaired = site.run("--failed")
    assert (repaired.code, site.host.gets, site.failures()) == (0, asked + 2, [])
    assert site.receipts() == ["r001", "r002", "r003", "r004"]
    assert not [key for key in site.objects() if key.startswith("quarantine/")]


@pytest.mark.parametrize(
    ("answers", "code"),
    [((503, 503), 5), ((503, None), 3), ((503, 404), 3), ((404, 404), 3), ((503, HTML), 3)],
    ids=str,
)
def test_a_host_that_is_down_is_temporary(site: Site, answers: tuple[Any, Any], code: int) -> None:
    toy.vault(site.workspace, site.host, 2, "tries: 1")
    site.host.bodies |= {f"/{number}.mp3": answer for number, answer in enumerate(answers, 1) if answer}
    ended = site.run()
    assert ended.code == code
    assert ("no file got through, the last of 2: answered 503; run again later" in ended.err) == (code == 5)
    assert len(site.failures()) == sum(answer is not None for answer in answers)


def test_what_stands_in_a_files_place_keeps_no_other_from_moving(site: Site) -> None:
    """A folder where the object goes, or where it is begun, or where one in quarantine is that is to be deleted."""
    toy.vault(site.workspace, site.host, 4)
    for folder in ("calls/r001.mp3", "calls/.r002.mp3.part"):
        (site.bucket / folder).mkdir(parents=True)
    assert (site.run().code, site.receipts()) == (3, ["r003", "r004"])
    why = "a folder stands in its place; move it away"
    assert [row[4] for row in site.failures()] == [why, why]
    for folder in ("calls/r001.mp3", "calls/.r002.mp3.part"):
        (site.bucket / folder).rmdir()
    site.host.bodies["/1.mp3"] = HTML
    assert (site.run("--failed").code, site.receipts()) == (3, ["r002", "r003", "r004"])
    aside = site.bucket / "quarantine/calls/r001.mp3"
    aside.unlink()
    aside.mkdir()
    site.mend(1)
    ended = site.run("--failed")
    assert (ended.code, f"not deleted: {why}; a later run tries again" in ended.err, len(site.receipts())) == (
        0,
        True,
        4,
    )
    aside.rmdir()
    toy.vault(site.workspace, site.host, 5)
    assert (site.run().code, site.failures()) == (0, [])


def test_what_is_put_into_quarantine_is_known_to_be(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """To whoever asks while the run goes on that will name it."""
    toy.vault(site.workspace, site.host, 2)
    site.host.bodies["/2.mp3"] = HTML
    put, known = Folder.put, dict[str, set[str]]()

    def seen(store: Folder, key: str, *more: Any) -> Put:
        (lines,) = (site.workspace.root / ".dlt").rglob("vault.recordings.jsonl")
        known[key] = read(lines).aside
        return put(store, key, *more)

    monkeypatch.setattr(Folder, "put", seen)
    assert site.run().code == 3
    assert known["quarantine/calls/r002.mp3"] == {"quarantine/calls/r002.mp3"}
    assert not [*(site.workspace.root / ".dlt").rglob("vault.recordings.jsonl")]


def test_a_key_that_leads_elsewhere_keeps_no_other_in_quarantine(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.vault(site.workspace, site.host, 3)
    site.host.bodies |= {"/1.mp3": HTML, "/2.mp3": HTML, "/3.mp3": HTML}
    assert site.run().code == 3
    for number in (1, 2, 3):
        site.mend(number)
    place = Folder._place
    monkeypatch.setattr(Folder, "_place", lambda self, key: place(self, f"../{key}" if "r002" in key else key))
    monkeypatch.setattr(Folder, "put", lambda self, key, *more: Put())
    ended = site.run("--failed")
    assert (ended.code, "leads to another object, by its .. part" in ended.err) == (0, True)
    assert site.failures("quarantine_key") == [("quarantine/calls/r002.mp3",)]


def test_what_is_in_quarantine_is_named_until_it_is_deleted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.vault(site.workspace, site.host, 2)
    site.host.bodies["/2.mp3"] = HTML
    assert site.run().code == 3
    site.host.bodies["/2.mp3"] = 404
    assert site.run("--failed").code == 3
    assert site.failures("id, http_status, quarantine_key") == [("r002", 404, "quarantine/calls/r002.mp3")]
    site.mend(2)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "delete", _refuse)
        refused = site.run("--failed")
    assert (refused.code, "not deleted: answered 403; a later run tries again" in refused.err) == (0, True)
    assert site.failures("quarantine_key") == [("quarantine/calls/r002.mp3",)]
    toy.vault(site.workspace, site.host, 3)
    assert (site.run().code, site.failures()) == (0, [])
    assert sorted(site.objects()) == ["calls/r001.mp3", "calls/r002.mp3", "calls/r003.mp3"]


def _refuse(store: Folder, key: str) -> None:
    raise Refusal("answered 403")


def test_retry_makes_failed_files_due(site: Site) -> None:
    toy.vault(site.workspace, site.host, 3)
    site.host.bodies |= {"/1.mp3": 410, "/2.mp3": 404}
    assert site.run().code == 3
    assert site.etl("files", "retry", "vault").code == 2
    dry = site.etl("files", "retry", "vault", "--failed", "--dry-run")
    assert (dry.code, "2 files would be due" in dry.out, site.run().code, len(site.failures())) == (0, True, 0, 2)
    nobody = site.etl("files", "retry", "vault", "--only", "nobody")
    assert (nobody.code, "nobody: no row has a file of this name" in nobody.err) == (3, True)
    due = site.etl("files", "retry", "vault", "--only", "call_p02", "--output", "json")
    assert (due.code, due.json["due"]) == (0, {"recordings": 1})
    site.mend(2)
    assert (site.run().code, site.receipts()) == (0, ["r002", "r003"])
    assert site.etl("files", "retry", "vault", "--failed", "--output", "json").json["due"] == {"recordings": 1}
    assert site.run().code == 3
    assert site.failures("id, attempts, http_status") == [("r001", 2, 410)]


@pytest.mark.parametrize(
    ("failures", "left"), [("audio_failures", []), ("more_failures", ["r002", "r004"])], ids=["same", "own"]
)
@pytest.mark.parametrize("stray", [True, False])
def test_two_specs_may_share_a_table_of_receipts(site: Site, failures: str, left: list[str], stray: bool) -> None:
    """What the other one names there is mine, too; what its own table of failures names is not."""
    toy.vault(site.workspace, site.host, 2)
    site.host.bodies["/2.mp3"] = HTML
    assert site.run().code == 3
    text = toy.SOURCE.replace('section="vault"', 'section="more"').replace("def vault(", "def more(")
    files = toy.SPEC.format(more="").replace("audio_failures", failures)
    site.workspace.source("more", text, f"dataset: vault\ninto: vault{files}")
    rows = toy.write(site.workspace, [toy.row(site.host, number) for number in (3, 4)])
    site.workspace.variables["SOURCES__MORE__ROWS_FILE"] = str(rows)
    site.host.bodies["/4.mp3"] = HTML
    assert (site.etl("run", "more").code, site.receipts()) == (3, ["r001", "r003"])
    for prefix in ("calls/", "quarantine/calls/"):
        if stray:
            (site.bucket / prefix / "stray.mp3").touch()
        undone = site.etl("files", "undo", "vault", "--list", "--prefix", prefix, "--yes")
        assert (undone.code, "left as it is" in undone.err) == (0, bool(left))
    assert (site.receipts(), sorted(site.objects())) == ([], [f"quarantine/calls/{id}.mp3" for id in left])


@pytest.mark.parametrize(("table", "told"), [("audio_files", True), ("more_files", False)])
def test_receipts_of_two_stores_do_not_lie_in_one_table(site: Site, table: str, told: bool) -> None:
    toy.vault(site.workspace, site.host, 1)
    toml = site.workspace.root / "destinations.toml"
    toml.write_text(toml.read_text() + '[test.second]\ndestination_type = "filesystem"\nbucket_url = "second"\n')
    files = toy.SPEC.format(more=", to: second").replace("table: audio_files", f"table: {table}")
    text = toy.SOURCE.replace('section="vault"', 'section="more"').replace("def vault(", "def more(")
    site.workspace.source("more", text, f"dataset: vault\ninto: vault{files}")
    message = (
        "resources.recordings.files.to: audio_files of vault is of objects in audio; name the same, or another table"
    )
    valid = site.workspace.etl("validate")
    assert (valid.code, message in valid.out) == (2 * told, told), valid.out


def test_a_run_takes_the_files_that_it_is_asked_for(site: Site) -> None:
    toy.vault(site.workspace, site.host, 8)
    site.host.bodies["/1.mp3"] = 404
    assert (site.run("--limit", "2").code, site.receipts()) == (3, ["r002"])
    assert (site.run("--limit", "2", "--skip-failed").code, site.receipts()) == (0, ["r002", "r003", "r004"])
    window = ("--since", "2024-01-06", "--until", "2024-01-07")
    assert (site.run(*window).code, site.receipts()) == (0, ["r002", "r003", "r004", "r005"])
    some = site.run("--only", "call_p07,r008,r001,nobody")
    assert (some.code, site.receipts()) == (3, ["r002", "r003", "r004", "r005", "r007", "r008"])
    assert "nobody: no row has this name" in some.out
    assert "0 files moved, 2 stored before" in site.run("--only", "call_p07,r008").out
    assert site.failures("id, attempts") == [("r001", 2)]
    assert (site.run("--select", "notes").code, len(site.receipts())) == (0, 6)
    assert (site.run().code, len(site.receipts())) == (0, 7)


def test_two_files_of_one_name_do_not_overwrite_each_other(site: Site) -> None:
    rows = toy.vault(site.workspace, site.host, 2)
    source = site.workspace.root / "sources/vault.py"
    source.write_text(source.read_text().replace("{row['id']}.mp3", "one.mp3"))
    assert (site.run().code, site.receipts(), list(site.objects())) == (3, ["r001"], ["calls/one.mp3"])
    assert "another file has its key calls/one.mp3" in site.failures()[0][4]
    assert len(rows) == 2


def test_a_refused_token_stops_the_run_and_keeps_what_was_moved(site: Site) -> None:
    toy.vault(site.workspace, site.host, 3, "transfers: 1")
    site.host.bodies["/3.mp3"] = 401
    stopped = site.run()
    assert stopped.code == 6
    assert "127.0.0.1: answered 401 to r003; sign in, or mend its token" in stopped.err
    assert site.receipts() == ["r001", "r002"]
    assert (site.run().code, site.host.gets) == (0, 3)  # no file keeps the others from moving again and again
    site.mend(3)
    assert (site.run("--failed").code, site.host.gets) == (0, 4)


def test_a_full_disk_stops_the_run_and_leaves_nothing_half(site: Site) -> None:
    """A cap on the size of files stands in for a disk that fills up."""
    toy.vault(site.workspace, site.host, 3, "transfers: 1")
    site.host.bodies["/3.mp3"] = toy.mp3(3, 1600)
    full = subprocess.run(
        [sys.executable, "-m", "cli", "--root", str(site.workspace.root), "run", "vault", "--env", "test"],
        cwd=REPOSITORY, env={**os.environ, **site.workspace.variables}, text=True, capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000_000, resource.RLIM_INFINITY)),
    )  # fmt: skip
    assert (full.returncode, full.stderr.count("\n")) == (1, 1), full
    assert "the disk is full; free space and run again" in full.stderr
    assert site.receipts() == ["r001", "r002"]
    assert sorted(site.objects()) == ["calls/r001.mp3", "calls/r002.mp3"]
    assert (site.run().code, site.receipts(), site.host.gets) == (0, ["r001", "r002", "r003"], 4)
    assert not [file for file in (site.workspace.root / ".dlt").rglob("*") if file.is_file() and "files" in file.parts]


def test_what_was_moved_is_exported_and_erased_with_its_person(site: Site) -> None:
    rows = toy.vault(site.workspace, site.host, 3)
    site.host.bodies["/2.mp3"] = HTML
    toy.write(site.workspace, [{**row, "twin": f"+4930{row['id']}" if row["id"] < "r003" else None} for row in rows])
    spec = site.workspace.root / "specs/vault.yaml"
    spec.write_text(spec.read_text() + SUBJECTS)
    assert site.run().code == 3
    assert len(site.objects()) == 3
    assert site.etl("export", "vault", "--format", "jsonl").code == 0
    assert (site.workspace.root / "exports/test/vault/audio_files.jsonl").read_text().count("calls/") == 2
    intent = {"intends": {"id": "r001", "key": "calls/r001.mp3", "bytes": 1, "sha256": "a"}}
    journal = site.workspace.write(".dlt/state/test/files/vault.recordings.jsonl", json.dumps(intent))
    refused = site.etl("erase", "--device", "+4930r001", "--yes")
    assert (refused.code, "files may be stored that no row names" in refused.err) == (1, True)
    journal.unlink()
    for id, left in (("r001", ["calls/r003.mp3", "quarantine/calls/r002.mp3"]), ("r002", ["calls/r003.mp3"])):
        assert site.etl("erase", "--device", f"+4930{id}", "--yes").code == 0
        assert sorted(site.objects()) == left
    assert (site.receipts(), site.failures()) == (["r003"], [])


def test_rows_that_are_the_same_file_move_it_once(site: Site) -> None:
    rows = toy.vault(site.workspace, site.host, 3)
    toy.write(site.workspace, [{**row, "twin": "t"} for row in rows])
    site.host.bodies["/1.mp3"] = 404
    assert (site.run().code, site.host.gets) == (3, 1)
    assert (site.run().code, site.host.gets, site.receipts()) == (0, 2, ["r002"])
    assert (site.run("--failed").code, site.host.gets) == (0, 2)


def test_tables_made_anew_move_no_file_again(site: Site) -> None:
    toy.vault(site.workspace, site.host, 3)
    text = (site.workspace.root / "destinations.toml").read_text()
    site.workspace.write("destinations.toml", text.replace("[test]\n", "[test]\nkeep_raw = true\n", 1))
    assert (site.run().code, site.host.gets) == (0, 3)
    assert site.etl("rebuild", "vault", "--yes").code == 0
    assert site.run("--full-refresh", "--yes").code == 0
    assert (site.host.gets, site.receipts()) == (3, ["r001", "r002", "r003"])
    assert site.etl("fetch", "vault").code == site.etl("ingest", "vault").code == 0


def test_a_plan_tells_what_is_to_be_moved(site: Site) -> None:
    toy.vault(site.workspace, site.host, 3)
    site.host.bodies["/1.mp3"] = 404
    first = "then moves 0 files of recordings to audio, of those that loaded rows name: 0 B; calls: none; and those of "
    assert f"{first}the rows that this run loads: not known before" in site.etl("plan", "vault").out
    assert site.run("--limit", "1").code == 3
    asked = site.host.gets
    plan = site.etl("plan", "vault", "--limit", "1", "--output", "json").json[0]
    assert plan["files"] == [
        {
            "resource": "recordings", "to": "audio", "files": 1, "bytes": 0, "of_unknown_size": 1,
            "left_alone": {"waiting": 1}, "calls": {"A": 1, "B": 0, "C": 0},
            "named_by": "loaded rows", "new_rows": False,
        }
    ]  # fmt: skip
    assert plan["cursor_stays"] is False
    dry = site.run("--mode", "dry")
    assert "then moves 2 files of recordings to audio" in dry.out
    assert (dry.code, site.host.gets, site.receipts() if site.objects() else []) == (0, asked, [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--transfers", "0"], "--transfers 0: must be at least 1"),
        (["--bwlimit", "fast"], "--bwlimit fast: write bytes a second such as 500K or 10M"),
        (["--failed", "--skip-failed"], "--failed and --skip-failed: give one of them"),
        (["--select", "notes", "--only", "r001"], "vault: --only: no resource with files is selected"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(site: Site, words: list[str], said: str) -> None:
    toy.vault(site.workspace, site.host, 1)
    result = site.run(*words)
    assert (result.code, site.host.gets) == (2, 0)
    assert said in result.err


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("by: audio", "by: video", "resources.recordings.files.by: sources/vault.py has no public function"),
        ("by: audio", "by: audio, to: lake", "resources.recordings.files.to: no environment has a filesystem"),
        ("audio_failures", "notes", "resources.recordings.files: notes and files of recordings would both write"),
        ("by: audio", "by: audio, bwlimit: fast", "expected bytes a second such as 500K or 10M"),
        ("recordings:", "records:", "resources.records: no such resource (did you mean 'recordings'?)"),
    ],
)
def test_a_wrong_block_is_told_at_its_place(site: Site, was: str, becomes: str, said: str) -> None:
    toy.vault(site.workspace, site.host, 1)
    file = site.workspace.root / "specs/vault.yaml"
    file.write_text(file.read_text().replace(was, becomes, 1))
    result = site.workspace.etl("validate")
    assert result.code == 2
    assert said in result.out


BLOCK = Moves(by="audio", table="audio_files", failures="audio_failures", gives_up_after=GivesUp(tries=3, days=2))
FILES = Files("id", lambda rows: iter(()), lambda item, stored: {}, {})
MOVE = Move("recordings", "recordings", BLOCK, FILES)
ITEM = FileItem("a", "http://host/a", "a.mp3", {"id": "a"})
REFUSED = NotMoved(ITEM, "permanent", "answered 404", 404)
BUSY = NotMoved(ITEM, "transient", "answered 503", 503)
STRANGE = NotMoved(ITEM, "quarantined", "an HTML page", 200, "quarantine/a.mp3")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("outcome", "prior", "status", "wait"),
    [
        (REFUSED, None, "transient", HOUR),
        (REFUSED, Prior(1, NOW - HOUR, "first", "quarantine/a"), "transient", 2 * HOUR),
        (REFUSED, Prior(2, NOW - HOUR, "first", "quarantine/a"), "transient", 4 * HOUR),
        (REFUSED, Prior(1, NOW - 2 * DAY, "first", "quarantine/a"), "transient", 2 * HOUR),
        (REFUSED, Prior(2, NOW - 2 * DAY, "first", "quarantine/a"), "permanent", None),
        (BUSY, Prior(50, NOW - 9 * DAY, "first", "quarantine/a"), "transient", DAY),
        (BUSY._replace(retry_after=7200.0), None, "transient", 2 * HOUR),
        (STRANGE, None, "quarantined", HOUR),
        (STRANGE, Prior(2, NOW - 2 * DAY, "first", "quarantine/a"), "quarantined", None),
    ],
)
def test_a_failure_waits_longer_each_time_and_is_given_up_late(
    outcome: NotMoved, prior: Prior | None, status: str, wait: timedelta | None
) -> None:
    row = failure_of(outcome, prior, MOVE, "run", NOW)
    assert (row["status"], row["ignore_until"]) == (status, wait and NOW + wait)
    assert row["attempts"] == (prior.attempts if prior else 0) + 1
    assert row["first_error"] == ("first" if prior else row["error"])
    assert row["first_seen_at"] == (prior.first_seen_at if prior else NOW)
    assert row["quarantine_key"] == (outcome.quarantine_key or (prior.quarantine_key if prior else None))


@pytest.mark.parametrize(
    ("order", "block", "settings"),
    [
        ({}, {}, {"transfers": 32, "bwlimit": None, "tries": 9, "per_host": None}),
        (
            {},
            {"transfers": 4, "bwlimit": "2K", "tries": 3, "per_host": 2},
            {"transfers": 4, "bwlimit": 2048, "tries": 3, "per_host": 2},
        ),
        (
            {"transfers": 5, "bwlimit": "1M", "max_retry": 1},
            {"transfers": 4, "bwlimit": "2K", "tries": 3},
            {"transfers": 5, "bwlimit": 2**20, "tries": 2},
        ),
    ],
)
def test_the_command_line_comes_before_the_spec(
    order: dict[str, Any], block: dict[str, Any], settings: dict[str, Any]
) -> None:
    given = settings_of(Order(**order), BLOCK.model_copy(update=block), Path("spool"))
    assert {name: getattr(given, name) for name in settings} == settings


def test_transfers_go_on_while_receipts_are_loaded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.vault(site.workspace, site.host, 3)
    usual, taken, record = sys.getswitchinterval(), list[float](), Receipts.record

    def watched(receipts: Receipts, *rows: Any) -> None:
        taken.append(sys.getswitchinterval())
        record(receipts, *rows)

    monkeypatch.setattr(Receipts, "record", watched)
    assert (site.run().code, site.receipts()) == (0, ["r001", "r002", "r003"])
    assert (min(taken) < usual / 5, sys.getswitchinterval()) == (True, usual)


def test_a_tally_says_how_long_it_will_take() -> None:
    tally = Tally(due=10, moved=3, failed=1, bytes=3 * 2**20, seconds=2)
    assert (tally.seconds_left(), Tally(due=3).seconds_left()) == (3, None)
    assert tally.line() == "3 files moved (3.0 MiB, 1.5 MiB/s), 1 failed"


def test_progress_says_how_far_it_is(tmp_path: Path) -> None:
    trace, shown = Trace(tmp_path, Report("run", "vault", "test", "incr", "vault")), list[str]()
    progress = Progress(trace, lambda: None, shown.append)
    progress.say("files", lambda: ("3 of 10", {"done": 3, "total": 10, "eta_seconds": 7}))
    progress.say("files", lambda: pytest.fail("nobody needs to know so soon"))
    told = json.loads((tmp_path / "run/progress.json").read_text())
    assert (told["phase"], told["message"], told["done"], told["eta_seconds"]) == ("files", "3 of 10", 3, 7)
    assert shown == ["files: 3 of 10"]
