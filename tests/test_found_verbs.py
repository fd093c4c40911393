"""What broke the commands on files that are moved once, and must not again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import killed
from tests.files_toy import mp3
from tests.killed import At
from tests.recordings_toy import PREFIX, Site, sha1, site
from tests.test_files_verbs import change, files, listed_only, path

__all__ = ["site"]  # a fixture
HTML = b"<html>busy</html>"
MOVED = ("run", "recordings", "--with", f"b2_prefix={PREFIX}")


def fail(site: Site, number: int) -> str:
    """Move the recordings, one of which is none; the key that its object has in quarantine."""
    site.host.bodies[f"/vr/PR_{number}.mp3"] = HTML
    assert site.etl(*MOVED).code == 3
    return f"quarantine/{site.key(number)}"


def kill(site: Site, moment: At, *words: str) -> None:
    result = killed.start(site.workspace, *words, "--env", "test", moment=moment).ended()
    assert result.code == -signal.SIGKILL, result.err


def test_no_object_is_stored_where_those_in_quarantine_are(site: Site) -> None:
    """What is deleted there once a file is stored would be the file."""
    site.list(1)
    aside = fail(site, 1)
    site.host.bodies["/vr/PR_1.mp3"] = mp3(1, 1)
    moved = site.etl("run", "recordings", "--failed", "--with", f"b2_prefix=quarantine/{PREFIX}")
    error = site.workspace.query("SELECT error FROM media_pipeline.audio_failures")
    assert (moved.code, error, site.objects()) == (3, [("its key lies where objects in quarantine do",)], [aside])
    site.run("--failed")
    assert site.objects() == [site.key(1)]


def test_what_is_in_quarantine_is_not_adopted(site: Site) -> None:
    site.list(1)
    fail(site, 1)
    refused = files(site, "adopt", "--prefix", "quarantine/audio/")
    assert (refused.code, "what is in quarantine is no whole file" in refused.err) == (2, True)
    assert "0 files adopted, 0 not" in files(site, "adopt", "--prefix", "").out


def test_an_object_of_a_folder_is_adopted_once_it_was_looked_at(site: Site) -> None:
    site.list(1, 2, 3)
    listed_only(site)
    for number, data in enumerate((mp3(1, 1), HTML, mp3(3, 9)), 1):
        path(site, site.key(number)).parent.mkdir(parents=True, exist_ok=True)
        path(site, site.key(number)).write_bytes(data)
    adopted = files(site, "adopt", "--prefix", f"{PREFIX}/", "--output", "json").json
    assert adopted["adopted"] == [sha1(site.url(1))]
    assert {key: why[:10] for key, why in adopted["refused"].items()} == {
        site.key(2): "an HTML pa", site.key(3): "lasts 9.0 ",
    }  # fmt: skip


def test_a_folder_behind_a_link_is_no_object(site: Site, tmp_path: Path) -> None:
    site.list(1, 2, 3)
    site.run()
    folder = path(site, site.key(1)).parent
    folder.rename(tmp_path / "big")
    folder.symlink_to(tmp_path / "big")
    assert files(site, "verify").code == 0
    listed = files(site, "verify", "--list")
    assert (listed.code, listed.out.splitlines()[0]) == (0, "= 3 as their rows say")
    assert files(site, "undo", "--list", "--prefix", f"{PREFIX}/", "--since", "2099-01-01", "--yes").code == 0
    assert files(site, "verify").code == 0


def test_what_is_in_doubt_lasts_as_long_as_its_source_says(site: Site) -> None:
    """An object that stands in its place and is another one is not taken for it."""
    site.list(1)
    kill(site, At("pipelines.files.journal:Journal.receipts"), *MOVED)
    for journal in (site.workspace.root / ".dlt").rglob("recordings.recordings.jsonl"):
        journal.unlink()
    path(site, site.key(1)).write_bytes(mp3(2, 9))
    assert "1 file moved" in site.run().out
    assert path(site, site.key(1)).read_bytes() == mp3(1, 1)


def test_rows_that_wait_to_be_loaded_stop_what_would_be_undone_by_them(site: Site) -> None:
    site.list(1)
    listed_only(site)
    path(site, site.key(1)).parent.mkdir(parents=True)
    path(site, site.key(1)).write_bytes(mp3(1, 1))
    kill(site, At("dlt.pipeline.pipeline:Pipeline.load"), "files", "adopt", "recordings", "--prefix", PREFIX)
    for words in (("undo", "--list", "--prefix", PREFIX, "--yes"), ("verify", "--fix"), ("retry", "--failed")):
        refused = files(site, *words)
        assert (refused.code, "a load package waits, whose rows the next run writes; first etl run" in refused.err) == (
            1,
            True,
        )
    site.run()
    assert files(site, "undo", "--list", "--prefix", f"{PREFIX}/", "--yes").code == 0
    assert (site.objects(), site.workspace.query("SELECT count(*) FROM media_pipeline.audio_files")) == ([], [(0,)])


def test_a_file_that_is_taken_back_leaves_nothing_in_quarantine(site: Site) -> None:
    """Whatever its key was then; and it is found by a name that failures have no column for."""
    site.list(1, 2)
    aside = fail(site, 1)
    assert files(site, "verify", "--only", "rec1").code == 0
    change(site, f"UPDATE media_pipeline.audio_failures SET url_sha1 = '{sha1(site.url(2))}'")
    undone = files(site, "undo", "--only", "rec2", "--yes", "--output", "json")
    assert (undone.code, undone.json["objects"]) == (0, [site.key(2), aside])
    fail(site, 1)
    by_name = files(site, "undo", "--only", "rec1", "--yes")
    assert (by_name.code, by_name.err, site.objects()) == (0, "", [site.key(2)])


def test_what_is_to_be_moved_again_is_due_whatever_failed_before(site: Site) -> None:
    site.list(1, 2)
    site.host.bodies["/vr/PR_1.mp3"] = 404
    assert site.etl(*MOVED).code == 3
    path(site, site.key(1)).parent.mkdir(parents=True, exist_ok=True)
    path(site, site.key(1)).write_bytes(mp3(1, 1))
    assert "1 file adopted" in files(site, "adopt", "--prefix", PREFIX).out
    path(site, site.key(1)).write_bytes(b"x")
    site.host.bodies["/vr/PR_1.mp3"] = mp3(1, 1)
    assert "1 will be moved again" in files(site, "verify", "--fix").out
    assert "1 file moved" in site.run().out


@pytest.mark.parametrize("name", ["{table}", "{0}", "{}"])
def test_a_name_is_no_template(site: Site, name: str) -> None:
    site.list(1, id=name)
    fail(site, 1)
    retried = files(site, "retry", "--only", name)
    assert (retried.code, "1 file due" in retried.out) == (0, True)
    assert files(site, "retry", "--only", name + "?").code == 3
