"""Files are moved: each asked for once, verified, stored once; every fault ends in the state it should."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from errno import ENOSPC
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fsspec.implementations.local import LocalFileSystem

from pipelines.errors import Exit, SettingError, SignInNeeded, TryLater
from pipelines.files import mover as files_mover
from pipelines.files.audio import Sound, inspect
from pipelines.files.bucket import Bucket
from pipelines.files.folder import Folder
from pipelines.files.lane import Lane
from pipelines.files.mover import Moved, Mover, NotMoved, Outcome, Settings
from pipelines.files.steps import Call, Patience, Signature
from pipelines.files.stores import CapExceeded
from pipelines.files.throttle import Throttle
from pipelines.files.turns import Turns
from sandbox.sound import vorbis
from sources.kit.files import FileItem, Stored
from tests.clouds.b2 import B2
from tests.clouds.loopback import Answer, refusing_port
from tests.clouds.s3 import KEY, SECRET, Refused
from tests.scripted_server import RESET, Asked, Server, Steps, head, in_turn, reply, serving

SOUND = vorbis(7, 2.0)
SHA256 = hashlib.sha256(SOUND).hexdigest()
OGG = {"Content-Type": "audio/ogg"}
FINE = reply(200, SOUND, OGG)
SHORT = [head(200, OGG, len(SOUND)) + SOUND[:-100]]
SLOW = [head(200, OGG, len(SOUND)) + SOUND[:100], 4.0]
LONG = vorbis(8, 30.0)
PAGE = reply(200, b"<!doctype html><html>Please sign in</html>", {"Content-Type": "text/html"})
WAIT = {"Retry-After": "120"}


@dataclass
class Journal:
    """What it was told, in order."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def flush(self) -> None:
        """Nothing waits to be written."""

    def intends(self, item: FileItem, bytes: int, sha256: str) -> None:
        self.lines.append(("intends", item.id))

    def stored(self, item: FileItem, stored: Stored) -> None:
        self.lines.append(("stored", item.id))

    def puts_aside(self, key: str) -> None:
        self.lines.append(("aside", key))

    def refused(self, item: FileItem) -> None:
        self.lines.append(("refused", item.id))


@dataclass
class Site:
    """A source that answers by a script, a bucket, and a mover between them."""

    source: Server
    b2: B2
    folder: Path
    answers: dict[str, Callable[[Asked], Steps]]
    journal: Journal = field(default_factory=Journal)

    def answer(self, path: str, *answers: Steps) -> None:
        """What the source says to the requests for a path, in turn."""
        self.answers[path] = in_turn(*answers)

    def item(self, name: str = "a", **more: Any) -> FileItem:
        given: dict[str, Any] = {"id": name, "url": f"{self.source.url}/{name}", "key": f"x/{name}.ogg", "row": {}}
        return FileItem(**{**given, "media": "ogg", **more})

    def mover(self, **settings: Any) -> Mover:
        quick = {"tries": 2, "backoff_seconds": 0.01, **settings}
        return Mover(self.bucket(), Settings(self.folder / "spool", **quick), self.journal, inspect)

    def bucket(self, **more: Any) -> Bucket:
        signature = Signature("eu-central-003", KEY, SECRET)
        return Bucket(**{"name": "audio", "endpoint": self.b2.url, "bucket": "audio", "prefix": "",
                         "signature": signature, **more})  # fmt: skip

    def move(self, *items: FileItem, **settings: Any) -> list[Outcome]:
        return list(self.mover(**settings).move(items))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    answers: dict[str, Callable[[Asked], Steps]] = {}
    with B2("audio") as b2, serving(lambda asked: answers.get(asked.path, lambda _: FINE)(asked)) as source:
        yield Site(source, b2, tmp_path, answers)


def wait_for(what: Callable[[], bool]) -> None:
    while not what():
        time.sleep(0.01)


def test_a_file_costs_one_get_and_one_put(site: Site):
    items = [site.item(f"{number}", seconds=2.4) for number in range(40)]
    outcomes = site.move(*items)
    assert {outcome.item.id for outcome in outcomes if isinstance(outcome, Moved)} == {item.id for item in items}
    assert sorted(site.source.paths) == sorted(f"/{item.id}" for item in items)
    assert site.b2.calls == {"A": 40}
    for item in items:
        (made,) = site.b2.versions("audio", item.key)
        assert (made.content, made.kind) == (SOUND, "audio/ogg")
        assert {**made.metadata, "sha256": SHA256, "source-id": item.id} == made.metadata
        told = [line for line, name in site.journal.lines if name == item.id]
        assert told == ["intends", "stored"]


def test_a_receipt_says_what_was_found(site: Site):
    (outcome,) = site.move(site.item(bytes=len(SOUND), sha256=SHA256, seconds=2.0))
    assert isinstance(outcome, Moved)
    stored = outcome.stored
    assert (stored.key, stored.bytes, stored.sha256, stored.content_type) == (
        "x/a.ogg",
        len(SOUND),
        SHA256,
        "audio/ogg",
    )
    assert (stored.codec, stored.sample_rate, stored.channels) == ("vorbis", 8000, 2)
    assert stored.seconds == pytest.approx(2.0, abs=0.1)
    head = site.bucket().head("x/a.ogg")
    assert head is not None
    assert (head.etag, head.version, head.sha256, head.source_id) == (stored.etag, stored.version, SHA256, "a")


@pytest.mark.parametrize(
    ("answers", "kind", "reason", "status", "asked"),
    [
        ([reply(503), FINE], None, "", None, 2),
        ([SHORT, FINE], None, "", None, 2),
        ([[RESET], FINE], None, "", None, 2),
        ([reply(503)], "transient", "answered 503", 503, 2),
        ([reply(500)], "transient", "answered 500", 500, 2),
        ([reply(408)], "transient", "answered 408", 408, 2),
        ([reply(429)], "transient", "answered 429", 429, 2),
        ([reply(429, headers=WAIT)], "transient", "answered 429", 429, 1),
        ([SHORT], "transient", "end of response with 100 bytes missing", None, 2),
        ([[head(200, OGG, len(SOUND)) + SOUND[:5000], RESET]], "transient", "", None, 2),
        ([reply(404), FINE], "permanent", "answered 404", 404, 1),
        ([reply(403), FINE], "permanent", "answered 403", 403, 1),
        ([reply(410), FINE], "permanent", "answered 410", 410, 1),
        ([reply(400), FINE], "permanent", "answered 400", 400, 1),
        ([reply(204), FINE], "permanent", "answered 204", 204, 1),
        ([PAGE], "quarantined", "an HTML page", 200, 1),
        ([reply(200, b"", OGG)], "quarantined", "an empty file", 200, 1),
        ([reply(200, SOUND[:-100], OGG)], "quarantined", "", 200, 1),
        ([reply(200, vorbis(1, 9.0), OGG)], "quarantined", "it lasts 9.0 s instead of 2.0 s", 200, 1),
    ],
)
def test_each_answer_of_a_source_has_its_end(site: Site, answers, kind, reason, status, asked):
    site.answer("/a", *answers)
    (outcome,) = site.move(site.item(seconds=2.0))
    assert len(site.source.asked) == asked
    if kind is None:
        assert isinstance(outcome, Moved)
        assert site.b2.calls == {"A": 1}
        return
    assert isinstance(outcome, NotMoved)
    assert (outcome.kind, outcome.http_status) == (kind, status)
    assert reason in outcome.reason
    assert site.b2.versions("audio", "x/a.ogg") == []
    assert site.journal.lines == ([("aside", "quarantine/x/a.ogg")] if kind == "quarantined" else [])


def test_what_is_suspicious_goes_to_quarantine_with_its_reason(site: Site):
    site.answer("/a", PAGE)
    (outcome,) = site.move(site.item(id="ä\n"))
    assert isinstance(outcome, NotMoved)
    assert outcome.quarantine_key == "quarantine/x/a.ogg"
    (made,) = site.b2.versions("audio", "quarantine/x/a.ogg")
    assert made.kind == "application/octet-stream"
    assert made.metadata["reason"] == "an HTML page"
    assert made.metadata["source-id"] == "%C3%A4%0A"
    head = site.bucket().head("quarantine/x/a.ogg")
    assert head is not None
    assert head.source_id == "ä\n"


@pytest.mark.parametrize(
    ("promised", "reason"),
    [
        ({"bytes": 5}, f"{len(SOUND):,} bytes instead of 5"),
        ({"sha256": "0" * 64}, f"its sha256 is {SHA256} instead of {'0' * 64}"),
        ({"media": "mp3"}, "an Ogg file, not an MP3 file"),
    ],
)
def test_what_is_not_as_promised_is_suspicious(site: Site, promised, reason):
    (outcome,) = site.move(site.item(**promised))
    assert isinstance(outcome, NotMoved)
    assert (outcome.kind, outcome.reason) == ("quarantined", reason)


@pytest.mark.parametrize(
    "key", ["quarantine/a", "../a", "/a", "a//b", "a/", "", "a\x00b", "a\\b", "x" * 241, "x/" * 500 + "xx"]
)
def test_a_name_no_store_takes_is_not_asked_for(site: Site, key: str):
    (outcome,) = site.move(site.item(key=key))
    assert isinstance(outcome, NotMoved)
    assert (outcome.kind, outcome.reason[:8]) == ("permanent", "its key ")
    assert site.source.asked == []


def test_what_is_any_is_called_as_its_source_calls_it(site: Site):
    site.answer("/a", reply(200, b"1;2", {"Content-Type": "Text/CSV; charset=utf-8"}))
    site.answer("/b", reply(200, b"1;2", {"Content-Type": "nonsense"}))
    site.answer("/c", [step.replace(b"?", b"\xe9") for step in reply(200, b"1;2", {"Content-Type": "a/b; name=?.mp3"})])
    site.move(*(site.item(name, media="any") for name in "abc"))
    kinds = [site.b2.versions("audio", f"x/{name}.ogg")[0].kind for name in "abc"]
    assert kinds == ["text/csv", "application/octet-stream", "a/b"]


def test_a_token_stays_with_its_host(site: Site):
    token = {"Authorization": "Bearer hush", "X-Token": "hush"}
    with serving(lambda asked: reply(302, headers={"Location": f"{site.source.url}/c"})) as other:
        site.answer("/a", reply(302, b"it has moved", headers={"Location": "/b"}))
        site.answer("/b", reply(307, b"once more", headers={"Location": f"{other.url}/elsewhere"}))
        (outcome,) = site.move(site.item(headers=token))
    assert isinstance(outcome, Moved)
    assert site.source.paths == ["/a", "/b", "/c"]
    tokens = [asked.headers.get("x-token") for asked in (*site.source.asked, *other.asked)]
    assert tokens == ["hush", "hush", None, None]
    assert "authorization" not in other.asked[0].headers


@pytest.mark.parametrize("to", ["/a", "file:///etc/hostname"])
def test_a_redirect_that_leads_nowhere_fails(site: Site, to: str):
    site.answer("/a", reply(302, headers={"Location": to}))
    (outcome,) = site.move(site.item(media="any"))
    assert isinstance(outcome, NotMoved)
    assert outcome.kind == "transient"


def test_a_proxy_of_the_environment_is_used(site: Site, monkeypatch):
    monkeypatch.setenv("http_proxy", site.source.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site.answer("http://files.example/a", FINE)
    (outcome,) = site.move(site.item(url="http://files.example/a"))
    assert isinstance(outcome, Moved)


def test_a_host_that_is_away_is_weather(site: Site):
    with refusing_port() as port:
        (outcome,) = site.move(site.item(url=f"http://127.0.0.1:{port}/a"))
    assert isinstance(outcome, NotMoved)
    assert outcome.kind == "transient"
    assert "connect" in outcome.reason


@pytest.mark.parametrize(
    ("settings", "reason"), [({"deadline_seconds": 0.3}, "timed out"), ({"stall_seconds": 1}, "too slow")]
)
def test_what_takes_too_long_is_broken_off(site: Site, settings, reason):
    site.answer("/a", SLOW)
    (outcome,) = site.move(site.item(), tries=1, **settings)
    assert isinstance(outcome, NotMoved)
    assert outcome.kind == "transient"
    assert reason in outcome.reason


def test_a_limit_of_bandwidth_holds_bytes_back(site: Site):
    site.answer("/a", reply(200, bytes(60_000)))
    limits = {"tries": 1, "deadline_seconds": 0.2}
    (outcome,) = site.move(site.item(media="any"), bwlimit=50_000, **limits)
    assert isinstance(outcome, NotMoved)
    (outcome,) = site.move(site.item(media="any"), bwlimit=50_000_000, tries=1)
    assert isinstance(outcome, Moved)


def test_no_more_transfers_at_once_than_are_allowed(site: Site):
    lock, busy, most = threading.Lock(), [0, 0], [0, 0]

    def answering(number: int) -> Callable[[Asked], Steps]:
        def answer(asked: Asked) -> Steps:
            with lock:
                busy[number] += 1
                most[number] = max(most[number], busy[number])
            time.sleep(0.02)
            with lock:
                busy[number] -= 1
            return FINE

        return answer

    with serving(answering(0)) as one, serving(answering(1)) as two:
        urls = [f"{host.url}/{number}" for number in range(12) for host in (one, two)]
        outcomes = site.move(*(site.item(str(n), url=url) for n, url in enumerate(urls)), transfers=8, per_host=2)
    assert all(isinstance(outcome, Moved) for outcome in outcomes)
    assert max(most) == 2
    busy[:], most[:] = [0, 0], [0, 0]
    with serving(answering(0)) as one:
        site.move(*(site.item(str(n), url=f"{one.url}/{n}") for n in range(12)), transfers=3)
    assert most[0] == 3


@pytest.mark.parametrize(("size", "threads"), [(1000, 1), (300_000, 2)])
def test_small_files_are_carried_by_one_thread_and_large_ones_by_two(site: Site, size: int, threads: int):
    seen: list[int] = []

    def looked_at(body: memoryview, media: str) -> Sound:
        seen.append(threading.get_ident())
        return inspect(body, media)

    body = reply(200, bytes(size))
    mover = Mover(site.bucket(), Settings(site.folder / "spool", transfers=4), site.journal, looked_at)
    with serving(lambda asked: [0.01, *body]) as source:
        items = (site.item(str(n), url=f"{source.url}/{n}", media="any") for n in range(40))
        assert all(isinstance(outcome, Moved) for outcome in mover.move(items))
    assert len(set(seen[20:])) == threads


def test_only_so_many_bytes_are_held_in_memory(site: Site, monkeypatch):
    monkeypatch.setattr(files_mover, "IN_MEMORY", 20_000)
    chunked = [head(200, {**OGG, "Transfer-Encoding": "chunked"}) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG)]
    site.answer("/a", reply(200, LONG, OGG))
    site.answer("/b", chunked)
    outcomes = site.move(site.item("a"), site.item("b"))
    assert all(isinstance(outcome, Moved) for outcome in outcomes)
    for name in "ab":
        (made,) = site.b2.versions("audio", f"x/{name}.ogg")
        assert made.content == LONG
    assert list((site.folder / "spool").iterdir()) == []
    assert not any(str(site.folder) in str(each.resolve()) for each in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("content", [LONG[:-100], LONG[:50_000] + b"x" + LONG[50_001:], b"{" * 50_000], ids=len)
def test_a_long_body_is_looked_at_as_well(site: Site, monkeypatch, content: bytes):
    monkeypatch.setattr(files_mover, "IN_MEMORY", 20_000)
    site.answer("/a", reply(200, content, OGG))
    (outcome,) = site.move(site.item())
    assert isinstance(outcome, NotMoved)
    assert outcome.kind == "quarantined"


def test_a_full_disk_stops_everything(site: Site, monkeypatch):
    monkeypatch.setattr(files_mover, "IN_MEMORY", 20_000)
    site.answer("/a", reply(200, LONG, OGG))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            site.move(site.item())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert site.b2.asked == []


@pytest.mark.parametrize("local", [False, True], ids=["a bucket", "a folder"])
def test_nothing_is_stored_that_the_journal_could_not_note(site: Site, local: bool):
    class Full(Journal):
        def flush(self) -> None:
            if self.lines:
                raise OSError(ENOSPC, os.strerror(ENOSPC))

    objects = site.folder / "objects"
    store = Folder(LocalFileSystem(), str(objects)) if local else site.bucket()
    mover = Mover(store, Settings(site.folder / "spool", transfers=2), Full(), inspect)
    with pytest.raises(OSError, match="No space left"):
        list(mover.move([site.item("a"), site.item("b")]))
    assert (site.b2.asked, list(objects.rglob("*"))) == ([], [])


def test_a_thread_that_breaks_off_waits_for_who_reads_a_body():
    """Its memory was given to the next transfer while a store still read it."""
    happened: list[str] = []

    def transfer(name: str, begins: threading.Event) -> Generator[Call, None, None]:
        try:
            yield Call(lambda: (begins.set(), time.sleep(0.1), happened.append(f"{name} is read")))
        finally:
            happened.append(f"{name} is closed")

    def failing() -> Generator[Call, None, None]:
        reads.wait()
        raise OSError("broken")
        yield

    reads = threading.Event()
    flows = iter([transfer("a", reads), transfer("b", threading.Event()), failing()])
    with ThreadPoolExecutor(1) as pool:
        lane = Lane(lambda: 3, lambda: next(flows, None), print, lambda: None, threading.Event(), pool)
        with pytest.raises(OSError, match="broken"):
            lane.run()
    assert happened[0] == "a is read"
    assert sorted(happened[1:]) == ["a is closed", "b is closed"]


@pytest.mark.parametrize("token", [{"Authorization": "Bearer x"}, {}])
def test_a_refused_token_stops_after_what_was_finished(site: Site, monkeypatch, token: dict[str, str]):
    """Each of two threads carries one: what the other one finishes meanwhile is told."""
    monkeypatch.setattr(files_mover, "LARGE", 0)

    def refused(asked: Asked) -> Steps:
        wait_for(lambda: len(site.journal.lines) >= 2)
        return reply(401)

    def late(asked: Asked) -> Steps:
        wait_for(lambda: "/b" in site.source.paths)
        return [0.1, *FINE]

    site.answers.update({"/b": refused, "/c": late})
    outcomes = site.mover(transfers=2).move([site.item("a"), site.item("b", headers=token), site.item("c")])
    told: list[Outcome] = [next(outcomes)]
    wait_for(lambda: len(site.journal.lines) == 4)
    with pytest.raises(SignInNeeded, match=r"127\.0\.0\.1: answered 401 to b; sign in"):
        told.extend(outcomes)
    assert {outcome.item.id for outcome in told} == {"a", "c"} | ({"b"} if not token else set())


@pytest.mark.parametrize("ends", ["close", "error"])
@pytest.mark.timeout(20)
def test_transfers_end_in_the_middle_of_a_body(site: Site, ends: str):
    site.answer("/a", [head(200, OGG, len(SOUND)) + SOUND[:100], 60.0])
    outcomes = site.mover().move([site.item("a"), site.item("b")])
    assert isinstance(next(outcomes), Moved)
    if ends == "close":
        outcomes.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            outcomes.throw(KeyboardInterrupt)
    assert list(outcomes) == []
    assert [line for line in site.journal.lines if line[1] == "a"] == []


@pytest.mark.timeout(20)
def test_parts_of_a_transfer_that_is_stopped_are_taken_back(site: Site):
    site.answer("/a", reply(200, bytes(12 * 2**20)))
    site.b2.hold("partNumber=2")
    bucket = site.bucket(parts_above=10**6, part_bytes=5 * 2**20)
    mover = Mover(bucket, Settings(site.folder / "spool"), site.journal, inspect)
    outcomes = mover.move([site.item("b"), site.item("a", media="any")])
    assert isinstance(next(outcomes), Moved)
    wait_for(lambda: site.b2.count("partNumber=2") == 1)
    outcomes.close()
    assert site.b2.count("^DELETE .*uploadId") == 1


def test_items_are_drawn_as_they_are_needed(site: Site, monkeypatch):
    monkeypatch.setattr(files_mover, "LOOK_AHEAD", 10)
    drawn = []

    def items() -> Iterator[FileItem]:
        for number in range(1_000_000):
            drawn.append(number)
            yield site.item(str(number))

    with contextlib.closing(site.mover().move(items())) as outcomes:
        moved = [next(outcomes) for _ in range(5)]
    assert all(isinstance(outcome, Moved) for outcome in moved)
    assert len(drawn) <= 15


def test_nothing_gets_through_so_it_stops(site: Site):
    site.b2.slow_down(times=10_000)
    outcomes = site.mover(tries=1).move(site.item(str(number)) for number in range(1000))
    told: list[Outcome] = []
    with pytest.raises(TryLater, match="20 files in a row failed, the last: the bucket answered 503 SlowDown"):
        told.extend(outcomes)
    assert 20 <= len(told) < 100


def test_a_file_that_is_moved_shows_that_others_may_be(site: Site):
    for number in range(30):
        site.answer(f"/{number}", FINE if number == 15 else reply(503))
    outcomes = site.move(*(site.item(str(number)) for number in range(30)), tries=1, transfers=1)
    assert len(outcomes) == 30


@pytest.mark.parametrize(
    ("why", "after"),
    [("a: answered 503", {}), ("the bucket answered 503 SlowDown", {"backoff_seconds": 3})],
    ids=["source", "bucket"],
)
def test_while_nothing_ends_it_says_what_it_waits_for(site: Site, monkeypatch, why: str, after: dict[str, Any]):
    monkeypatch.setattr(files_mover, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr("pipelines.files.steps.random.uniform", lambda low, high: 0.2)
    site.answer("/a", reply(503), FINE) if why.startswith("a:") else site.b2.slow_down(times=1)
    told: list[str] = []
    (outcome,) = site.mover(**after).move([site.item()], told.append)
    assert isinstance(outcome, Moved)
    assert [text for text in told if text.startswith("1 file waits for another try in ") and why in text]


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[str]:
    """A host whose certificate nobody but itself has signed."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    began = datetime(2024, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, began, began.replace(year=2200)).sign(
        key, hashes.SHA256()
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    (tmp_path / "own.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem")
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_source_that_nobody_vouches_for_is_asked_once(site: Site, stranger: str):
    (outcome,) = site.move(site.item(url=f"{stranger}/a"), tries=9, backoff_seconds=60)
    assert isinstance(outcome, NotMoved)
    assert (outcome.kind, "certificate" in outcome.reason) == ("transient", True)


def test_a_bucket_that_nobody_vouches_for_is_a_wrong_setting(site: Site, stranger: str):
    bucket = site.bucket(endpoint=stranger)
    with pytest.raises(SettingError, match=r"destination\.audio: https://127.*certificate.*; mend endpoint_url"):
        list(Mover(bucket, Settings(site.folder / "spool"), site.journal, inspect).move([site.item()]))


def test_a_bucket_that_does_not_answer_is_weather(site: Site):
    site.b2.hold("^PUT", times=2)
    (outcome,) = site.move(site.item(), deadline_seconds=0.3)
    assert isinstance(outcome, NotMoved)
    assert outcome.kind == "transient"


WEATHER = [
    ("slow_down", {"times": 2, "retry_after": "0"}, {"A": 3}),
    ("no_tomes", {"times": 2}, {"A": 3}),
    ("internal_error", {"times": 2}, {"A": 3, "B": 2}),
]


@pytest.mark.parametrize(("weather", "options", "calls"), WEATHER, ids=[each[0] for each in WEATHER])
def test_weather_of_the_bucket_costs_no_second_download(site: Site, weather, options, calls):
    getattr(site.b2, weather)(**options)
    (outcome,) = site.move(site.item(), tries=3)
    assert isinstance(outcome, Moved)
    assert len(site.source.asked) == 1
    assert site.b2.calls == calls
    assert len(site.b2.versions("audio", "x/a.ogg")) == 1


def test_weather_that_stays_is_left_for_a_later_run(site: Site):
    site.b2.no_tomes(times=100)
    (outcome,) = site.move(site.item(), tries=3)
    assert isinstance(outcome, NotMoved)
    assert (outcome.kind, outcome.reason) == (
        "transient",
        "the bucket answered 503 ServiceUnavailable no tomes available",
    )
    assert site.journal.lines == [("intends", "a")]


def test_a_put_whose_answer_is_lost_makes_no_second_version(site: Site):
    site.b2.lose("^PUT", Answer(500, b""))
    (outcome,) = site.move(site.item())
    assert isinstance(outcome, Moved)
    (made,) = site.b2.versions("audio", "x/a.ogg")
    assert outcome.stored.etag == made.etag
    assert site.b2.calls == {"A": 1, "B": 1}


@pytest.mark.parametrize(
    ("refused", "error", "code", "message"),
    [
        ("cap", CapExceeded, Exit.TEMPORARY, "destination.audio: 403 AccessDenied Cannot upload files, storage cap"),
        ((403, "InvalidAccessKeyId"), SettingError, Exit.USAGE, "destination.audio: the bucket refuses the key"),
        ((404, "NoSuchBucket"), SettingError, Exit.USAGE, "destination.audio: there is no bucket audio; create it"),
        ((301, "PermanentRedirect"), SettingError, Exit.USAGE, "destination.audio: the bucket is elsewhere"),
    ],
)
def test_what_the_bucket_refuses_to_all_stops_them_all(site: Site, refused, error, code, message):
    if refused == "cap":
        site.b2.exceed("storage", "^PUT")
    else:
        site.b2.refuse("^PUT", Refused(*refused).answer, times=100)
    with pytest.raises(error, match=message) as caught:
        site.move(*(site.item(str(number)) for number in range(200)))
    assert caught.value.exit == code
    assert len(site.b2.asked) < 100


def test_what_the_bucket_refuses_to_one_is_told(site: Site):
    site.b2.refuse("x/a.ogg", Refused(400, "InvalidArgument", "no such name here").answer)
    first, second = sorted(site.move(site.item("a"), site.item("b")), key=lambda outcome: outcome.item.id)
    assert isinstance(first, NotMoved)
    assert (first.kind, first.reason) == ("permanent", "the bucket answered 400 InvalidArgument no such name here")
    assert isinstance(second, Moved)
    assert sorted(site.journal.lines) == [("intends", "a"), ("intends", "b"), ("refused", "a"), ("stored", "b")]


def test_a_host_that_asks_for_time_holds_up_no_other():
    turns = Turns(per_host=1, at_once=9)
    for name, host in ("a1", "a"), ("a2", "a"), ("b1", "b"):
        turns.add(FileItem(name, f"http://{host}/", name, {}))
    first = turns.take()
    assert first is not None
    assert first.item.id == "a1"
    turns.again(first, 0, rest=1000)
    second = turns.take()
    assert second is not None
    assert second.item.id == "b1"
    assert turns.take() is None
    turns.done(second)
    assert turns.take() is None


@pytest.mark.parametrize(
    ("tried", "retry_after", "least", "most"),
    [(1, None, 0, 1), (2, None, 0, 2), (4, None, 0, 8), (8, None, 0, 30), (1, 7.0, 7, 7), (1, 900.0, 30, 30)],
)
def test_waits_double_and_end(tried: int, retry_after: float | None, least: float, most: float):
    waits = [Patience(9, 1, 30).wait(tried, retry_after) for _ in range(50)]
    assert all(wait is not None and least <= wait <= most for wait in waits)
    assert retry_after or len(set(waits)) > 1
    assert Patience(tried, 1, 30).wait(tried, retry_after) is None
    assert Patience(9, 1, 30, until=time.monotonic() - 1).wait(tried, retry_after) is None


def test_a_throttle_makes_takers_wait_for_one_another():
    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return False

    waits: list[float | None] = []
    throttle = Throttle(1000, Clock())
    for _ in range(3):
        throttle.take(5000)
    assert [round(wait or 0) for wait in waits] == [5, 10, 15]
