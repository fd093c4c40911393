"""What broke the file mover once, and must not again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from pipelines.files.bodies import Body, Stream
from pipelines.files.folder import Folder
from pipelines.files.journal import Journal, Left, read
from pipelines.files.stores import About
from tests import files_toy as toy
from tests.clouds.b2 import B2
from tests.clouds.s3 import Refused
from tests.killed import At, killed
from tests.test_files_journal import FILES, item, stored
from tests.test_files_run import HTML, SUBJECTS, Site
from tests.workspace import Workspace


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with toy.host() as host:
        yield Site(Workspace(tmp_path / "a workspace"), host)


def test_a_journal_that_cannot_be_written_anew_goes_on_in_its_file(tmp_path: Path) -> None:
    """Its descriptor was closed by then, and the next line went into whatever file had got the number."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, FILES, Left(), "run 1")
    journal.stored(item("a"), stored("a"))
    journal.flush()
    path.with_suffix(".part").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        journal.forget(["a"])
    other = os.open(tmp_path / "somebody else's", os.O_RDWR | os.O_CREAT)
    journal.stored(item("b"), stored("b"))
    journal.flush()
    assert os.read(other, 100) == b""
    assert read(path).receipts.keys() == {"a", "b"}
    journal.close()
    os.close(other)


def test_names_that_differ_at_their_end_are_written_side_by_side(tmp_path: Path) -> None:
    """Both were written to one `.part`, whose name had the first 200 characters of theirs."""
    store, start = Folder(LocalFileSystem(), str(tmp_path)), "x/" + 230 * "n"

    class Slow(Body):
        def stream(self, start_: int = 0, end: int | None = None) -> Stream:
            store.put(f"{start}2", body(b"two"), about())
            return super().stream(start_, end)

    store.put(f"{start}1", Slow(memoryview(b"one"), 3, ""), about())
    assert (store.read(f"{start}1"), store.read(f"{start}2")) == (b"one", b"two")


def body(content: bytes) -> Body:
    return Body(memoryview(content), len(content), "")


def about() -> About:
    return About("audio/mpeg", "", "id")


def test_a_later_run_does_not_overwrite_the_object_of_another_file_either(site: Site) -> None:
    toy.vault(site.workspace, site.host, 3)
    source = site.workspace.root / "sources/vault.py"
    source.write_text(source.read_text().replace("{row['id']}.mp3", "one.mp3"))
    assert (site.run("--limit", "1").code, site.receipts()) == (0, ["r001"])
    kept = site.objects()
    for words in ((), ("--failed",)):
        assert site.run(*words).code == 3
        assert (site.receipts(), site.objects(), site.host.gets) == (["r001"], kept, 1)
    assert "another file has its key calls/one.mp3" in site.failures()[0][4]


@pytest.mark.parametrize("part", ["../../outside", "a\nb"])
def test_a_name_no_store_takes_is_not_looked_for_in_doubt(site: Site, part: str) -> None:
    """It led out of the folder, to a file that then counted as stored."""
    rows = toy.vault(site.workspace, site.host, 1)
    toy.write(site.workspace, [{**rows[0], "part": part}])
    source = site.workspace.root / "sources/vault.py"
    source.write_text(source.read_text().replace("{row['id']}.mp3", "{row['part']}.mp3"))
    outside = site.workspace.write("outside.mp3", "")
    outside.write_bytes(toy.mp3(1, 1))
    killed(site.workspace, At("pipelines.ledger:Ledger.begin_transfer", "after"), "run", "vault", "--env", "test")
    shutil.rmtree(site.workspace.root / ".dlt/state")
    assert (site.run().code, site.host.gets) == (3, 0)
    ((*_, error, _),) = site.failures()
    assert error.startswith("its key has ")


def test_what_was_in_quarantine_before_it_was_stored_is_erased_with_its_person(site: Site) -> None:
    """Its failure's row is gone by then, and nobody knew of the bytes any more; a bucket hides what is deleted."""
    toml = site.workspace.root / "destinations.toml"
    toml.write_text(toml.read_text().replace('bucket_url = "audio"', 'bucket_url = "s3://audio"'))
    rows = toy.vault(site.workspace, site.host, 2)
    site.host.bodies["/1.mp3"] = HTML
    toy.write(site.workspace, [{**rows[0], "twin": "+4930"}, rows[1]])
    spec = site.workspace.root / "specs/vault.yaml"
    spec.write_text(spec.read_text() + SUBJECTS)
    with B2("audio") as b2:
        site.workspace.variables |= b2.variables("audio")
        b2.refuse("calls/r002", Refused(400, "InvalidArgument", "no such name here").answer)
        assert site.run().code == 3
        assert site.workspace.query("SELECT * FROM _etl.transfers") == []
        site.mend(1)
        assert site.run("--failed", "--only", "r001").code == 0
        assert b2.buckets.ever("audio", "") == ["calls/r001.mp3", "quarantine/calls/r001.mp3"]
        assert site.etl("erase", "--device", "+4930", "--yes").code == 0
        assert b2.buckets.ever("audio", "") == []


def test_a_url_that_is_none_stops_no_other_file(site: Site) -> None:
    """Two of them ended the run, and each run after it."""
    rows = toy.vault(site.workspace, site.host, 5)
    urls = ["http://[::1/a.mp3", "ftp://host/a.mp3", "n/a"]
    wrong = [{**row, "url": url} for row, url in zip(rows, urls, strict=False)]
    site.host.bodies["/%C3%BC%20%F0%9F%98%80.mp3"] = toy.mp3(4, 1)
    foreign = {**rows[3], "url": f"{site.host.url}/ü 😀.mp3"}
    toy.write(site.workspace, [*wrong, foreign, rows[4]])
    assert (site.run().code, site.receipts()) == (3, ["r004", "r005"])
    assert site.failures("error") == [("its URL begins with neither http:// nor https://",)] * 3


def test_a_password_in_a_url_is_not_in_the_failures(site: Site) -> None:
    rows = toy.vault(site.workspace, site.host, 1)
    site.host.bodies["/1.mp3"] = 404
    toy.write(site.workspace, [{**rows[0], "url": rows[0]["url"].replace("://", "://me:hunter2@")}])
    assert site.run().code == 3
    assert site.failures("url") == [(rows[0]["url"].replace("://", "://…@"),)]


@pytest.mark.parametrize("hole", [b"\0\0\n", b"1\n[]\n{}\n"])
def test_a_journal_with_a_hole_is_not_trusted(site: Site, hole: bytes) -> None:
    """What stood there was moved again; a line of anything else than an object broke off each run."""
    toy.vault(site.workspace, site.host, 5, "transfers: 1")
    killed(site.workspace, At("pipelines.files.journal:Journal._append", "after", 6), "run", "vault", "--env", "test")
    (path,) = (site.workspace.root / ".dlt/state/test/files").glob("*.jsonl")
    header, _, _, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([header, hole, *rest]))
    assert (site.run().code, site.host.gets, len(site.receipts())) == (0, 5, 5)
