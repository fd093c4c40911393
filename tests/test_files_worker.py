"""A second process carries transfers: the same outcomes, noted by the first one before anything is stored."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from errno import ENOSPC
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from pipelines.errors import SettingError, SignInNeeded, TryLater
from pipelines.files import mover as files_mover
from pipelines.files import worker
from pipelines.files.audio import Sound, inspect
from pipelines.files.curl import BUNDLES, CERTIFICATES
from pipelines.files.folder import Folder
from pipelines.files.mover import Moved, NotMoved
from pipelines.files.steps import Patience
from pipelines.files.stores import Misleading
from pipelines.files.turns import Task
from pipelines.files.worker import Terms, Worker, _portable, _Serving, _watch
from tests.apart import carry_all
from tests.clouds.s3 import Refused
from tests.scripted_server import Asked, Steps, head, reply
from tests.test_mover import FINE, OGG, PAGE, SHA256, SOUND, Journal, Site, site, wait_for

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
    assert started
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
    assert started


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
    assert len(started) >= 2


@pytest.mark.usefixtures("apart")
def test_a_caller_who_goes_away_takes_the_worker_along(site: Site, started: list[int]):
    site.answer("/slow", [head(200, OGG, len(SOUND)) + SOUND[:100], 60.0])
    outcomes = site.mover().move([site.item("a"), site.item("slow")])
    assert isinstance(next(outcomes), Moved)
    wait_for(lambda: "/slow" in site.source.paths)
    begun = time.monotonic()
    outcomes.close()
    assert time.monotonic() - begun < 5
    assert started


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
    assert started


@pytest.mark.usefixtures("apart")
def test_a_worker_that_is_killed_ends_the_run_with_a_line(site: Site, started: list[int]):
    site.answer("/slow", [head(200, OGG, len(SOUND)) + SOUND[:100], 60.0])
    outcomes = site.mover().move([site.item("a"), site.item("slow")])
    assert isinstance(next(outcomes), Moved)
    wait_for(lambda: "/slow" in site.source.paths)
    os.kill(started[-1], signal.SIGKILL)
    with pytest.raises(TryLater, match="ended from outside; run again"):
        next(outcomes)


def test_a_worker_that_has_ended_has_still_said_why(site: Site):
    here, there = Pipe()
    item = site.item("a")
    tended = Worker(b"", lambda: 1, lambda: 1, lambda: None, lambda ended: None, site.journal)
    tended._link, tended._comes, tended._tasks = here, _watch(here), {item.key: Task(item, "127.0.0.1")}
    tended.is_up = True
    there.send([("intends", 0, item.key, 1, SHA256)])
    there.send([("failed", SettingError("the bucket refuses the key"))])
    there.close()
    with here:
        assert tended.tend()
        with pytest.raises(SettingError, match="refuses the key"):
            tended.tend()
        with pytest.raises(TryLater, match="ended from outside"):
            tended.tend()


@pytest.mark.timeout(30)
def test_two_that_tell_each_other_much_do_not_wait_for_ever(site: Site):
    here, there = Pipe()
    sent = terms(site).sent
    assert sent
    here.send_bytes(sent)
    serving = _Serving(there)
    told = [("refused", f"{n} {'k' * 2000}") for n in range(500)]
    serving._told = list(told)
    telling = threading.Thread(target=serving.flush)
    telling.start()
    item = (site.item("a", url="http://127.0.0.1/" + 100_000 * "u", headers={}), Patience())
    for _ in range(20):
        here.send(("items", [item]))
    heard: list[Any] = []
    while len(heard) < len(told):
        heard += here.recv()
    telling.join()
    while len(serving._items) < 20:
        serving._hear()
    assert heard == told
    here.close()
    there.close()


def test_an_answer_to_what_is_broken_off_is_let_pass(site: Site):
    here, there = Pipe()
    here.send_bytes(terms(site).sent or b"")
    with here, there:
        serving = _Serving(there)
        broken_off, other = serving.puts_aside("a"), serving.puts_aside("b")
        broken_off.cancel()
        here.send(("noted", [0, 1]))
        assert serving._hear()
        assert other.done()


@pytest.mark.parametrize("program", ["/nowhere/python", "false", ""])
def test_without_a_worker_one_process_moves_all(site: Site, monkeypatch: pytest.MonkeyPatch, program: str):
    said: list[str] = []
    monkeypatch.setattr(worker.LOGGER, "warning", lambda text, *given: said.append(text % given))
    for name, value in {"LOOK": 0, "BUSY": 0, "CORES": 2}.items():
        monkeypatch.setattr(worker, name, value)
    monkeypatch.setattr(files_mover, "MANY", 30)
    monkeypatch.setattr(sys, "executable", shutil.which(program) or program)
    monkeypatch.setenv("PATH", "/nowhere")
    site.answers.update({f"/{n}": lambda asked: [0.02, *FINE] for n in range(60)})
    outcomes = site.move(*(site.item(f"{n}") for n in range(60)), transfers=4)
    assert [type(outcome) for outcome in outcomes] == [Moved] * 60
    assert [text.partition(" (")[0] for text in said] == [
        "files are moved by one process alone: a second one did not start"
    ]


def test_it_leaves_when_nothing_waits_for_it(site: Site, started: list[int], monkeypatch: pytest.MonkeyPatch):
    for name, value in {"LOOK": 0, "BUSY": 0, "CORES": 2}.items():
        monkeypatch.setattr(worker, name, value)
    monkeypatch.setattr(files_mover, "MANY", 30)
    outcomes = site.mover(transfers=4).move(site.item(f"{n}") for n in range(60))
    assert all(isinstance(next(outcomes), Moved) for _ in range(60))
    wait_for(lambda: not any(map(is_there, started)))
    assert list(outcomes) == []
    assert started


def test_an_error_that_cannot_be_sent_is_told_in_words():
    assert isinstance(_portable(TryLater("later")), TryLater)
    told = _portable(Misleading("a/../b", ".."))
    assert isinstance(told, RuntimeError)
    assert "leads to another object, by its .. part" in str(told)


@pytest.mark.usefixtures("apart")
def test_what_a_worker_waits_for_is_told(site: Site, started: list[int], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files_mover, "QUIET_SECONDS", 0.02)
    site.b2.slow_down(times=3)
    told: list[str] = []
    (outcome,) = site.mover(backoff_seconds=0.3, tries=9).move([site.item()], told.append)
    assert isinstance(outcome, Moved)
    assert [text for text in told if "1 file waits for another try in 0 s: the bucket answered 503 SlowDown" in text]
    assert started


@pytest.mark.usefixtures("apart")
def test_ctrl_c_of_the_whole_group_is_left_to_the_run(site: Site, started: list[int]):
    def interrupted(asked: Asked) -> Steps:
        os.kill(started[-1], signal.SIGINT)
        os.kill(started[-1], signal.SIGTERM)
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


def test_a_worker_does_without_what_takes_long_to_start():
    asked = "import sys, pipelines.files.worker; print(*({'dlt', 'requests', 'duckdb', 'pyarrow'} & {*sys.modules}))"
    environment = {**os.environ, BUNDLES[0]: CERTIFICATES}
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, env=environment, check=True)
    assert told.stdout.split() == []


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


@pytest.mark.parametrize(("files", "bwlimit", "wanted"), [(40, None, True), (20, None, False), (40, 10**9, False)])
def test_it_is_started_where_many_files_keep_a_thread_busy(
    site: Site, started: list[int], monkeypatch: pytest.MonkeyPatch, files: int, bwlimit: int | None, wanted: bool
):
    for name, value in {"LOOK": 0, "BUSY": 0, "CORES": 2}.items():
        monkeypatch.setattr(worker, name, value)
    monkeypatch.setattr(files_mover, "MANY", 30)
    outcomes = site.move(*(site.item(f"{n}") for n in range(files)), transfers=4, bwlimit=bwlimit)
    assert [isinstance(outcome, NotMoved) for outcome in outcomes] == [False] * files
    assert bool(started) == wanted
    assert site.b2.calls == {"A": files}


def test_an_idle_thread_needs_no_help(site: Site, started: list[int], monkeypatch: pytest.MonkeyPatch):
    for name, value in {"LOOK": 0.05, "BUSY": 0.5, "CORES": 2}.items():
        monkeypatch.setattr(worker, name, value)
    monkeypatch.setattr(files_mover, "MANY", 1)
    site.answers.update({f"/{n}": lambda asked: [0.1, *FINE] for n in range(8)})
    assert all(isinstance(outcome, Moved) for outcome in site.move(*(site.item(f"{n}") for n in range(8)), transfers=2))
    assert not started
