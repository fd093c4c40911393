"""What every store promises, on each kind there is; and what is a bucket's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from pipelines import configuration, environment
from pipelines.errors import SettingError
from pipelines.files import stores
from pipelines.files.bodies import Body, Incoming, Room
from pipelines.files.bucket import PATIENCE, Bucket, region_of
from pipelines.files.curl import performed
from pipelines.files.folder import Folder
from pipelines.files.sound import Sound
from pipelines.files.steps import Patience, Signature
from pipelines.files.stores import About, CapExceeded, Head, Misleading, Refusal, Remnant, Store, Weather
from tests.clouds.b2 import B2
from tests.clouds.gcs import GCS
from tests.clouds.s3 import KEY, SECRET, Refused
from tests.scripted_server import RESET, serving
from tests.scripted_server import head as headers_of
from tests.workspace import DESTINATIONS, Workspace

STRANGE = "a b/+%25~'()é/ü&?#=;,@!$*[].ogg"
CLOUD = (
    DESTINATIONS
    + """
[cloud]
[cloud.warehouse]
destination_type = "duckdb"
[cloud.audio]
destination_type = "filesystem"
bucket_url = "{url}"
"""
)


def body(content: bytes) -> Body:
    return Body(memoryview(content), len(content), hashlib.sha256(content).hexdigest())


def about(what: Body, source_id: str = "id 1") -> About:
    return About("audio/ogg", what.sha256, source_id)


def opened(made: Workspace, url: str, variables: dict[str, str], monkeypatch: Any) -> Store:
    """The store as a run opens it."""
    made.write("destinations.toml", CLOUD.format(url=url))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    configuration.activate(environment.load(made.root, "cloud"))
    return stores.opened("audio")


@pytest.fixture
def b2() -> Iterator[B2]:
    with B2("audio") as service:
        yield service


@pytest.fixture(params=["folder", "memory", "b2", "gs"])
def store(request, workspace, monkeypatch, tmp_path: Path) -> Iterator[Store]:
    made = workspace()
    if request.param == "folder":
        yield opened(made, "a folder", {}, monkeypatch)
    elif request.param == "memory":
        MemoryFileSystem.store.clear()
        yield Folder(MemoryFileSystem(), "/a folder")
    elif request.param == "b2":
        with B2("lake") as service:
            yield opened(made, "s3://lake/a folder", service.variables("audio"), monkeypatch)
    else:
        with GCS("lake") as service:
            yield opened(made, "gs://lake/a folder", service.variables("audio"), monkeypatch)


def test_every_store_keeps_what_it_is_given(store: Store):
    one, two = body(b"one" * 1000), body(b"two")
    assert store.head("x/1.ogg") is None
    store.put("x/1.ogg", one, about(one))
    store.put(STRANGE, two, about(two, "ä"))
    assert store.read("x/1.ogg") == b"one" * 1000
    head = store.head("x/1.ogg")
    assert head is not None
    assert (head.key, head.bytes, head.sha256) == ("x/1.ogg", 3000, one.sha256)
    assert head.source_id in ("id 1", None)
    strange = store.head(STRANGE)
    assert strange is not None
    assert strange.sha256 == two.sha256
    store.put("x/1.ogg", two, about(two))
    again = store.head("x/1.ogg")
    assert again is not None
    assert (again.bytes, again.sha256) == (3, two.sha256)
    assert store.head("x") is None


def test_a_bucket_is_told_short_and_plain_texts(b2: B2):
    what, number = body(b"one"), cast(Any, 5)
    bucket(b2).put(
        "x/1.ogg", what, About("audio/ogg", what.sha256, number, "ä\n" * 300, Sound("opus", "audio/ogg", 1.5))
    )
    (made,) = b2.versions("audio", "x/1.ogg")
    told = {"source-id": "5", "reason": "%C3%A4%0A" * 250, "codec": "opus", "seconds": "1.5"}
    assert made.metadata == {"sha256": what.sha256, **told}


def test_every_store_lists_and_deletes(store: Store):
    what = body(b"one")
    for key in "x/1.ogg", "x/2.ogg", "x2/3.ogg", "y/4.ogg":
        store.put(key, what, about(what))
    keys: Callable[[str], list[str]] = lambda prefix: [head.key for head in store.listed(prefix)]  # noqa: E731
    assert keys("x") == ["x/1.ogg", "x/2.ogg", "x2/3.ogg"]
    assert keys("x/") == ["x/1.ogg", "x/2.ogg"]
    assert keys("nothing/") == []
    assert [head.bytes for head in store.listed("")] == [3, 3, 3, 3]
    store.delete("x/1.ogg")
    store.delete("x/1.ogg")
    assert keys("x/") == ["x/2.ogg"]
    assert store.head("x/1.ogg") is None
    store.put("x/2.ogg.more", what, about(what))
    store.put("x/2.ogg", what, about(what))
    for key in "x/1.ogg", "x/2.ogg", "nothing":
        stores.erase(store, key)
    assert keys("x/") == [each.key for each in store.versions("x/")] == ["x/2.ogg.more"]


DOTTED = ["x/../y.ogg", "./y.ogg", "x/./y.ogg", "y.ogg/..", "y.ogg/x/.."]
EMPTY = ["/y.ogg", "y.ogg/", "x//y.ogg", ""]


@pytest.mark.parametrize("key", DOTTED + EMPTY)
def test_a_key_leads_to_no_other_object(store: Store, key: str):
    """It is refused where a path leaves parts of it out, and an object of its own elsewhere."""
    what = body(b"one")
    for good in ("y.ogg", "x/y.ogg"):
        store.put(good, what, about(what))
    takes = EMPTY[:-1] if isinstance(store, Bucket) else []
    if isinstance(store, Folder) and "gs" in store.filesystem.protocol:
        takes = DOTTED
    if key not in takes and (key or isinstance(store, Folder)):
        _is_refused(store, key)
    elif key:
        other = body(b"two")
        store.put(key, other, about(other))
        assert store.read(key) == b"two"
        store.delete(key)
        assert store.head(key) is None
    for good in ("y.ogg", "x/y.ogg"):
        assert store.read(good) == b"one"


def _is_refused(store: Store, key: str) -> None:
    what, no = body(b"one"), f"^{re.escape(key)}: leads to another object, by its (empty|[.]|[.][.]) part; "
    asked: list[Callable[[], object]] = [
        lambda: store.check(key),
        lambda: store.put(key, body(b"two"), about(what)),
        lambda: store.head(key),
        lambda: store.read(key),
        lambda: store.delete(key),
        lambda: store.erase(Remnant(key)),
    ]
    for ask in asked:
        with pytest.raises(Misleading, match=no):
            ask()


@pytest.mark.parametrize("name", ["a", ".a.part"])
def test_a_folder_in_the_place_of_an_object_refuses_that_one_alone(tmp_path: Path, name: str):
    what, folder = body(b"one"), Folder(LocalFileSystem(), str(tmp_path))
    folder.put(f"{name}/b.ogg", what, about(what))
    with pytest.raises(Refusal, match="a folder stands in its place; move it away"):
        folder.put("a", what, about(what))
    assert folder.head("a") is None
    if name == "a":
        with pytest.raises(Refusal, match="a folder stands in its place; move it away"):
            folder.delete("a")
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["b.ogg"]


@pytest.mark.parametrize("key", ["a/b.ogg", "a/b/c.ogg"])
def test_a_file_or_a_link_to_nothing_in_the_place_of_a_folder_is_no_fault_of_an_object(tmp_path: Path, key: str):
    """As of a disk that is not mounted: nothing is refused for good."""
    what, folder = body(b"one"), Folder(LocalFileSystem(), str(tmp_path))
    for made in (lambda: (tmp_path / "a").touch(), lambda: (tmp_path / "a").symlink_to(tmp_path / "nowhere")):
        made()
        with pytest.raises(OSError, match=r"File exists|Not a directory"):
            folder.put(key, what, about(what))
        assert folder.head(key) is None
        folder.delete(key)
        (tmp_path / "a").unlink()


def test_a_cloud_knows_whose_object_it_is(store: Store):
    what = body(b"one")
    store.put("x/1.ogg", what, about(what))
    head = store.head("x/1.ogg")
    assert head is not None
    known = (head.source_id, head.content_type)
    is_local = isinstance(store, Folder) and "gs" not in store.filesystem.protocol
    assert known == ((None, None) if is_local else ("id 1", "audio/ogg"))


def test_what_is_written_into_a_folder_is_whole_or_not_there(tmp_path: Path):
    from fsspec.implementations.local import LocalFileSystem

    class Torn(Body):
        def stream(self, start: int = 0, end: int | None = None) -> Any:
            (tmp_path / "x" / ".1.ogg.part").stat()
            raise OSError(28, "No space left on device")

    store = Folder(LocalFileSystem(), str(tmp_path))
    what = Torn(memoryview(b"one"), 3, "")
    with pytest.raises(OSError, match="No space left"):
        store.put("x/1.ogg", what, about(what))
    assert list((tmp_path / "x").iterdir()) == []
    (tmp_path / "x" / ".1.ogg.part").write_bytes(b"left by a kill")
    assert list(store.listed("")) == []
    (left,) = store.unfinished("x/1")
    assert (left.key, list(store.unfinished("y"))) == ("x/1.ogg", [])
    store.erase(left)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_upload_has_left_is_listed_and_taken_away(b2: B2):
    store = bucket(b2, prefix="a folder")
    for key in "x/1.ogg", "x/é.ogg", "y/3.ogg":
        performed(store._asked(store._request("POST", key, {"uploads": ""}), PATIENCE))
    left = list(store.unfinished("x/"))
    assert [each.key for each in left] == ["x/1.ogg", "x/é.ogg"]
    for each in left:
        store.erase(each)
        store.erase(each)
    assert (b2.unfinished, list(store.unfinished("x/"))) == (1, [])


def bucket(b2: B2, **more: Any) -> Bucket:
    signature = Signature("eu-central-003", KEY, SECRET)
    return Bucket(**{"name": "audio", "endpoint": b2.url, "bucket": "audio", "prefix": "", "signature": signature,
                     **more})  # fmt: skip


def spooled(content: bytes, folder: Path) -> Incoming:
    incoming = Incoming(Room(1000, 0, folder))
    for start in range(0, len(content), 16_384):
        incoming.write(content[start : start + 16_384])
    return incoming


@pytest.mark.parametrize("locked", [False, True], ids=["plain", "object lock"])
def test_a_long_body_goes_in_parts(locked: bool, tmp_path: Path):
    content = bytes(range(256)) * 50_000
    with B2("audio", object_lock=locked) as b2:
        store = bucket(b2, parts_above=10**6, part_bytes=5 * 2**20, locked=locked)
        incoming = spooled(content, tmp_path)
        what = incoming.whole()
        put = store.put("x/1.ogg", what, about(what))
        head = store.head("x/1.ogg")
        assert head is not None
        assert head == Head("x/1.ogg", len(content), what.sha256, "id 1", "audio/ogg", put.etag, head.version)
        assert store.read("x/1.ogg") == content
        assert b2.count("partNumber") == 3


@pytest.mark.parametrize(
    ("pattern", "fault", "error", "says"),
    [
        ("partNumber=2", (503, "ServiceUnavailable"), Weather, "503 ServiceUnavailable"),
        ("partNumber=2", (400, "InvalidRequest"), Refusal, "400 InvalidRequest"),
        ("POST.*uploadId", (200, "InternalError"), Weather, "200 InternalError"),
    ],
)
def test_parts_that_cannot_become_an_object_are_taken_back(b2: B2, monkeypatch, pattern, fault, error, says):
    monkeypatch.setattr("pipelines.files.bucket.PATIENCE", Patience(tries=2, backoff_seconds=0))
    store = bucket(b2, parts_above=10**6, part_bytes=5 * 2**20)
    what = body(bytes(12 * 10**6))
    b2.refuse(pattern, Refused(*fault).answer, times=100)
    with pytest.raises(error, match=says):
        store.put("x/1.ogg", what, about(what))
    assert b2.count("^DELETE .*uploadId") == 1
    assert b2.versions("audio", "x/1.ogg") == []


def test_no_answer_to_a_put_is_a_question(b2: B2):
    what = body(b"one")
    there = {"Content-Length": "3", "ETag": '"e"', "x-amz-version-id": "v", "x-amz-meta-sha256": what.sha256}
    with serving(lambda asked: [RESET] if asked.method == "PUT" else [headers_of(200, there)]) as service:
        put = replace(bucket(b2), endpoint=service.url).put("x/1.ogg", what, about(what))
    assert (put.etag, put.version) == ("e", "v")
    assert [asked.method for asked in service.asked] == ["PUT", "HEAD"]


@pytest.mark.parametrize(("cap", "error", "says"), [(True, CapExceeded, "cap exceeded"), (False, SettingError, "key")])
def test_a_refused_head_asks_for_its_reason(b2: B2, cap: bool, error: type[Exception], says: str):
    b2.exceed("transaction") if cap else b2.refuse("", Refused(403, "AccessDenied", "no rights").answer, 9)
    with pytest.raises(error, match=says):
        bucket(b2).head("x/1.ogg")


def test_the_last_answer_of_many_parts_may_be_lost(b2: B2):
    store = bucket(b2, parts_above=10**6, part_bytes=5 * 2**20)
    what = body(bytes(12 * 10**6))
    b2.lose("POST.*uploadId", Refused(500, "InternalError").answer)
    put = store.put("x/1.ogg", what, about(what))
    (made,) = b2.versions("audio", "x/1.ogg")
    assert put.etag == made.etag
    assert b2.count("DELETE") == 0


def test_a_bucket_of_object_lock_gets_the_md5_it_wants(workspace, monkeypatch):
    with B2("audio", object_lock=True) as b2:
        variables = {**b2.variables("audio"), "DESTINATION__AUDIO__OBJECT_LOCK": "true"}
        store = opened(workspace(), "s3://audio", variables, monkeypatch)
        what = body(b"one")
        store.put("x/1.ogg", what, about(what))
        assert len(b2.versions("audio", "x/1.ogg")) == 1


def test_a_bucket_has_no_prefix_that_leads_elsewhere(workspace, b2: B2, monkeypatch):
    with pytest.raises(SettingError, match=r"destination.audio: bucket_url has a part that is [.] or [.][.]; name"):
        opened(workspace(), "s3://audio/x/../y", b2.variables("audio"), monkeypatch)


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.eu-central-003.backblazeb2.com", "eu-central-003"),
        ("https://s3.us-west-2.amazonaws.com/", "us-west-2"),
        ("https://s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("http://127.0.0.1:9000", None),
        ("https://storage.example.com", None),
    ],
)
def test_an_endpoint_names_its_region(endpoint: str, region: str | None):
    assert region_of(endpoint) == region


def test_a_listing_goes_on_past_its_first_page(b2: B2):
    for number in range(1005):
        b2.buckets.put("audio", f"x/{number:04}", b"1", "text/plain", None)
    assert len(list(bucket(b2).listed("x/"))) == 1005
    assert b2.calls == {"C": 2}
