"""A second process carries transfers: the same outcomes, noted by the first one before anything is stored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from pipelines.errors import SettingError, SignInNeeded, TryLater
from pipelines.files import mover as files_mover
from pipelines.files import worker
from pipelines.files.audio import Sound, inspect
from pipelines.files.folder import Folder
from pipelines.files.mover import Moved, NotMoved
from pipelines.files.worker import Terms, Worker
from tests.apart import carry_all
from tests.clouds.s3 import Refused
from tests.scripted_server import Asked, Steps, head, reply
from tests.test_mover import FINE, OGG, PAGE, SOUND, Journal, Site, site, wait_for

__all__ = ["site"]
HERE = os.getpid()


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    carry_all(monkeypatch.setattr)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The pids of workers, each when it is started; at the end none is left."""
    pids: list[int] = []
    before = Worker._start

    def start(self: Worker) -> None:
        before(self)
        pids.append(self._process.pid)

    monkeypatch.setattr(Worker, "_start", start)
    yield pids
    assert not any(map(is_there, pids))


@pytest.mark.usefixtures("apart")
def test_files_are_moved_as_by_one_process(site: Site, started: list[int]):
    items = [site.item(f"{n}", seconds=2.4, row={"n": n}, headers={"X-Token": "t"}) for n in range(40)]
    outcomes = site.move(*items, transfers=8)
    assert len(started) == 1
    moved = {outcome.item.id: outcome for outcome in outcomes if isinstance(outcome, Moved)}
    assert {id: outcome.item for id, outcome in moved.items()} == {item.id: item for item in items}
    assert sorted(site.source.paths) == sorted(f"/{item.id}" for item in items)
    assert site.b2.calls == {"A": 40}
    for item in items:
        stored = moved[item.id].stored
        (made,) = site.b2.versions("audio", item.key)
        assert (made.content, made.kind, stored.key, stored.codec) == (SOUND, "audio/ogg", item.key, "vorbis")
        assert [line for line, name in site.journal.lines if name == item.id] == ["intends", "stored"]


@pytest.mark.usefixtures("apart")
def test_faults_end_as_by_one_process(site: Site, started: list[int]):
    site.answer("/late", reply(503), FINE)
    site.answer("/gone", reply(404))
    site.answer("/page", PAGE)
    site.answer("/busy", reply(503))
    site.b2.refuse("x/unfit.ogg", Refused(400, "InvalidRequest", "no such thing").answer)
    items = [site.item(name) for name in ("fine", "late", "gone", "page", "busy", "unfit")]
    nowhere = site.item("nowhere", url="ftp://127.0.0.1/a")
    outcomes = {outcome.item.id: outcome for outcome in site.move(*items, nowhere)}
    told = {id: "moved" if isinstance(it, Moved) else (it.kind, it.reason) for id, it in outcomes.items()}
    assert told == {
        "fine": "moved",
        "late": "moved",
        "gone": ("permanent", "answered 404"),
        "page": ("quarantined", "an HTML page"),
        "busy": ("transient", "answered 503"),
        "unfit": ("permanent", "the bucket answered 400 InvalidRequest no such thing"),
        "nowhere": ("permanent", "its URL begins with neither http:// nor https://"),
    }
    assert all(outcome.item in [*items, nowhere] for outcome in outcomes.values())
    assert [name for line, name in site.journal.lines if line == "aside"] == ["quarantine/x/page.ogg"]
    assert [line for line, name in site.journal.lines if name == "unfit"] == ["intends", "refused"]
    assert len(started) == 1


@pytest.mark.usefixtures("apart", "started")
def test_nothing_is_stored_that_is_not_noted(site: Site):
    class Full(Journal):
        def flush(self) -> None:
            if self.lines:
                raise OSError(ENOSPC, "No space left on device")

    site.journal = Full()
    site.answer("/b", PAGE)
    with pytest.raises(OSError, match="No space left"):
        site.move(site.item("a"), site.item("b"))
    assert not site.b2.calls


@pytest.mark.usefixtures("apart")
def test_what_stops_all_ends_the_worker(site: Site, started: list[int]):
    site.answer("/b", reply(401))
    outcomes = site.mover().move([site.item("a"), site.item("b", headers={"Authorization": "old"})])
    with pytest.raises(SignInNeeded, match="answered 401 to b"):
        list(outcomes)
    site.b2.refuse("^PUT", Refused(403, "AccessDenied", "not yours").answer)
    with pytest.raises(SettingError, match="the bucket refuses the key"):
        site.move(site.item("c"))
    assert len(started) == 2


@pytest.mark.usefixtures("apart")
def test_a_caller_who_goes_away_takes_the_worker_along(site: Site, started: list[int]):
    site.answer("/slow", [head(200, OGG, len(SOUND)) + SOUND[:100], 60.0])
    outcomes = site.mover().move([site.item("a"), site.item("slow")])
    assert isinstance(next(outcomes), Moved)
    wait_for(lambda: "/slow" in site.source.paths)
    begun = time.monotonic()
    outcomes.close()
    assert time.monotonic() - begun < 5
    assert len(started) == 1


@pytest.mark.usefixtures("apart")
def test_what_was_finished_is_told_when_all_is_stopped(site: Site, started: list[int]):
    def refused(asked: Asked) -> Steps:
        wait_for(lambda: ("intends", "a") in site.journal.lines)
        return reply(401)

    site.answers["/b"] = refused
    told = []
    with pytest.raises(SignInNeeded):
        told.extend(site.mover().move([site.item("a"), site.item("b", headers={"Authorization": "old"})]))
    noted = [line for line, name in site.journal.lines if name == "a"]
    assert noted[0] == "intends"
    assert ("stored" in noted) == bool(site.b2.versions("audio", "x/a.ogg")) or noted == ["intends"]
    assert len(started) == 1


@pytest.mark.usefixtures("apart")
def test_a_worker_that_is_killed_ends_the_run_with_a_line(site: Site, started: list[int]):
    site.answer("/slow", [head(200, OGG, len(SOUND)) + SOUND[:100], 60.0])
    outcomes = site.mover().move([site.item("a"), site.item("slow")])
    assert isinstance(next(outcomes), Moved)
    wait_for(lambda: "/slow" in site.source.paths)
    os.kill(started[0], signal.SIGKILL)
    with pytest.raises(TryLater, match="ended from outside; run again"):
        next(outcomes)


@pytest.mark.usefixtures("apart")
def test_ctrl_c_of_the_whole_group_is_left_to_the_run(site: Site, started: list[int]):
    def interrupted(asked: Asked) -> Steps:
        os.kill(started[0], signal.SIGINT)
        os.kill(started[0], signal.SIGTERM)
        return FINE

    site.answers["/a"] = interrupted
    (outcome,) = site.move(site.item("a"))
    assert isinstance(outcome, Moved)


ORPHAN = """
import os, sys, time
from pathlib import Path
from pipelines.files.audio import inspect
from pipelines.files.bucket import Bucket
from pipelines.files.mover import Mover, Settings
from pipelines.files.steps import Signature
from sources.kit.files import FileItem
from tests import apart
from tests.test_mover import Journal

source, bucket, key, secret, folder = sys.argv[1:]
apart.carry_all()
store = Bucket("audio", bucket, "audio", "", Signature("eu-central-003", key, secret))

class Dies(Journal):
    def flush(self):
        if self.lines:
            os.kill(os.getpid(), 9)

item = FileItem("a", source + "/a", "x/a.ogg", {}, media="ogg")
list(Mover(store, Settings(Path(folder)), Dies(), inspect).move([item]))
"""


def test_a_worker_whose_run_is_killed_stores_nothing_more(site: Site, tmp_path: Path):
    signature = site.bucket().signature
    words = [site.source.url, site.b2.url, signature.key, signature.secret, str(tmp_path)]
    command = [sys.executable, "-c", ORPHAN, *words]
    # its standard error is the worker's, too: it ends when both are gone
    ended = subprocess.run(command, stderr=subprocess.PIPE, timeout=60, cwd=Path(__file__).parent.parent)
    assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, b"")
    assert site.source.paths == ["/a"]
    assert not site.b2.calls


@pytest.mark.usefixtures("apart")
def test_what_a_function_makes_is_made_in_this_process(site: Site, started: list[int]):
    seen = []

    def made() -> bytes:
        seen.append(os.getpid())
        return SOUND

    outcomes = site.move(*(site.item(f"{n}", content=made) for n in range(5)), site.item("asked"))
    assert all(isinstance(outcome, Moved) for outcome in outcomes)
    assert len(outcomes) == 6
    assert seen == [HERE] * 5


def terms(site: Site, **other: Any) -> Terms:
    given = {"store": site.bucket(), "inspect": inspect, "spool": site.folder, "in_memory": 1, "kept": 1}
    return Terms(**{**given, "stall_seconds": 60, **other})


def test_there_is_none_where_it_would_be_of_no_use(site: Site, monkeypatch: pytest.MonkeyPatch):
    def looked_at(body: memoryview, media: str) -> Sound:
        return inspect(body, media)

    monkeypatch.setattr(worker, "CORES", 2)
    assert terms(site).sent
    assert terms(site, inspect=looked_at).sent is None
    assert terms(site, store=Folder(LocalFileSystem(), str(site.folder))).sent is None
    monkeypatch.setattr(worker, "CORES", 1)
    assert terms(site).sent is None


@pytest.mark.parametrize(("files", "bwlimit", "wanted"), [(40, None, 1), (20, None, 0), (40, 10**9, 0)])
def test_it_is_started_where_many_files_keep_a_thread_busy(
    site: Site, started: list[int], monkeypatch: pytest.MonkeyPatch, files: int, bwlimit: int | None, wanted: int
):
    for name, value in {"LOOK": 0, "BUSY": 0, "CORES": 2}.items():
        monkeypatch.setattr(worker, name, value)
    monkeypatch.setattr(files_mover, "MANY", 30)
    outcomes = site.move(*(site.item(f"{n}") for n in range(files)), transfers=4, bwlimit=bwlimit)
    assert [isinstance(outcome, NotMoved) for outcome in outcomes] == [False] * files
    assert len(started) == wanted
    assert site.b2.calls == {"A": files}


def test_an_idle_thread_needs_no_help(site: Site, started: list[int], monkeypatch: pytest.MonkeyPatch):
    for name, value in {"LOOK": 0.05, "BUSY": 0.5, "CORES": 2}.items():
        monkeypatch.setattr(worker, name, value)
    monkeypatch.setattr(files_mover, "MANY", 1)
    site.answers.update({f"/{n}": lambda asked: [0.1, *FINE] for n in range(8)})
    assert all(isinstance(outcome, Moved) for outcome in site.move(*(site.item(f"{n}") for n in range(8)), transfers=2))
    assert not started
