"""The ingest service under clients that misbehave, and when it is killed or told to end."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import resource
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from ingest_api import middleware, server, sweep
from ingest_api.routes import page
from ingest_api.storage import Incoming, Storage
from pipelines.errors import SettingError
from tests import killed
from tests.serving import ADMIN, DEVICE, END, POINT, REGISTER, START, TOKEN, chunk, serving, wait_for
from tests.workspace import DESTINATIONS, Workspace

CHUNKS = "/api/v1/chunks"
LIMIT = 300_000
FIELDS = {"point_id": POINT, "register_id": REGISTER, "device_id": DEVICE, "start_ts": START, "end_ts": END,
          "codec": "opus", "sample_rate": "48000", "channels": "1"}  # fmt: skip
FORM = "multipart/form-data; boundary=here"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service that takes files of 300 kB."""
    folder = tmp_path_factory.mktemp("a service")
    with serving(folder, UPLOADS_PER_MINUTE="1000000", MAX_UPLOAD_SIZE_BYTES=str(LIMIT)) as running:
        running.register()
        yield running


def body(audio: bytes = b"sound", fields: dict[str, str] = FIELDS) -> bytes:
    """A form as a recorder sends it."""
    parts = "".join(
        f'--here\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    )
    file = '--here\r\nContent-Disposition: form-data; name="chunk_file"; filename="c.ogg"\r\n\r\n'
    return (parts + file).encode() + audio + b"\r\n--here--\r\n"


def head(length: int, *more: str, token: str = TOKEN) -> bytes:
    """The head of an upload."""
    lines = [f"POST {CHUNKS} HTTP/1.1", "Host: here", f"Authorization: Bearer {token}", f"Content-Type: {FORM}",
             f"Content-Length: {length}", *more, "", ""]  # fmt: skip
    return "\r\n".join(lines).encode()


def connected(url: str) -> socket.socket:
    """A connection."""
    there = urlsplit(url)
    return socket.create_connection((there.hostname, there.port), timeout=30)


def answered(connection: socket.socket) -> tuple[int, str]:
    """The status and the detail of what comes back; 0 where the connection just ends."""
    received = b""
    while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < _length(received):
        piece = connection.recv(65536)
        if not piece:
            return 0, ""
        received += piece
    return int(received.split()[1]), json.loads(received.partition(b"\r\n\r\n")[2])["detail"]


def _length(answer: bytes) -> int:
    lines = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))


# What is refused before it is there


@pytest.mark.parametrize("more", [[], ["Expect: 100-continue"]])
@pytest.mark.parametrize(
    ("token", "length", "expected"),
    [
        ("a-token-of-nobody", 10_000_000_000, (401, "Invalid or disabled device token")),
        (TOKEN, 10_000_000, (413, f"File exceeds maximum size of {LIMIT} bytes")),
    ],
)
def test_an_answer_does_not_wait_for_the_body(service, token, length, expected, more):
    with connected(service.url) as connection:
        connection.sendall(head(length, *more, token=token))
        assert answered(connection) == expected


def test_who_is_refused_can_read_why_after_sending_all(service):
    with connected(service.url) as connection:
        connection.sendall(head(5_000_000, token="a-token-of-nobody") + bytes(400_000))
        assert answered(connection) == (401, "Invalid or disabled device token")


def test_fields_are_looked_at_before_the_file_comes(service):
    with connected(service.url) as connection:
        begun = body(fields={**FIELDS, "device_id": POINT}).partition(b"sound")[0]
        connection.sendall(head(len(begun) + 200_000) + begun)
        assert answered(connection) == (422, "device_id does not match authenticated device")


def test_a_body_without_a_length_is_counted_as_it_comes(service):
    def pieces(count):
        start, _, end = body().partition(b"sound")
        yield start
        for _ in range(count):
            yield bytes(50_000)
        yield end

    sent = [service.ask("POST", CHUNKS, TOKEN, data=pieces(n), headers={"Content-Type": FORM}) for n in (6, 7, 60)]
    assert [answer.status_code for answer in sent] == [200, 413, 413]
    assert service.incoming() == []


def test_a_client_that_goes_away_leaves_nothing(service):
    before, uploads = service.files(), service.server.config.app.state.service.metrics.uploads
    ended = uploads["disconnected"] + 2
    for cut in (10, 5_000):
        with connected(service.url) as connection:
            connection.sendall((head(100_000) + body(bytes(90_000)))[: 500 + cut])
    wait_for(lambda: uploads["disconnected"] >= ended)
    assert (service.files(), service.incoming()) == (before, [])


def malformed() -> list[tuple[str, bytes]]:
    """A hundred bodies that are no forms: content type and bytes."""
    whole, chance = body(bytes(2_000)), random.Random(1)
    cuts = [(FORM, whole[: chance.randrange(len(whole) - 4)]) for _ in range(40)]
    lines = [
        b"", b"Content-Disposition", b": form-data", b"Content-Disposition: form-data", b"Content\x00: x",
        b'Content-Disposition: form-data; name="' + b"n" * 5_000 + b'"', b"X: " + b"y" * 9_000,
        b"X: y\r\n" * 100 + b"Z:", b'Content-Disposition: form-data; filename="c.ogg"', b"\xff\xfe: \x00",
    ]  # fmt: skip
    heads = [(FORM, b"--here\r\n" + line + b"\r\n\r\nx\r\n--here--\r\n") for line in lines]
    field = b'--here\r\nContent-Disposition: form-data; name="codec"\r\n\r\n'
    long = [(FORM, field + b"o" * size) for size in (4_097, 60_000)]
    many = [(FORM, (field + b"opus\r\n") * count + b"--here--\r\n") for count in (33, 1_000)]
    kinds = [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "b" * 300,
        "multipart/form-data; boundary=other",
        'multipart/form-data; boundary="he',
        "multipart/form-data; =here",
    ]
    others = [(kind, whole) for kind in kinds]
    twice = b'--here\r\nContent-Disposition: form-data; name="chunk_file"; filename="c"\r\n\r\nx\r\n'
    bodies = [b"", b"\r\n", b"--her", b"--here--", b"--here\r\n", twice * 2, bytes(5_000), whole[1:],
              whole.replace(b"\r\n", b"\n"), whole.replace(b"--here--", b"--here-?")]  # fmt: skip
    odd = [(FORM, each) for each in bodies]
    noise = [(FORM, whole[:40] + chance.randbytes(500)) for _ in range(30)]
    return [*cuts, *heads, *long, *many, *others, *odd, *noise]


def test_a_hundred_malformed_bodies_are_refused_and_leave_nothing(service):
    before, wrong = service.files(), []
    for kind, sent in (cases := malformed()):
        answer = service.ask("POST", CHUNKS, TOKEN, data=sent, headers={"Content-Type": kind})
        if answer.status_code not in (400, 413, 422) or "detail" not in answer.json():
            wrong.append((kind, sent[:80], answer.status_code, answer.text[:200]))
    assert len(cases) == 100
    assert wrong == []
    assert (service.files(), service.incoming()) == (before, [])
    assert service.send().status_code == 200


def test_lengths_that_lie_and_heads_that_never_end_are_refused(service):
    lines = [
        (b"Content-Length: -1\r\n\r\n", 400), (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"Content-Length: many\r\n\r\n", 400), (b"X: " + b"y" * 60_000, 400), (b"\x00\r\n\r\n", 400),
    ]  # fmt: skip
    for line, status in lines:
        with connected(service.url) as connection:
            connection.sendall(f"POST {CHUNKS} HTTP/1.1\r\nHost: here\r\n".encode() + line)
            assert int(connection.recv(4096).split()[1]) == status
    assert service.ask("GET", "/health", None).status_code == 200


def memory(pid: int) -> int:
    """The most memory that a process ever had, in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) // 1024


def metrics(url: str) -> str:
    """What the service counts."""
    return requests.get(f"{url}/metrics", timeout=30).text


def refuses(url: str) -> bool:
    """Whether nobody listens there any more."""
    try:
        connected(url).close()
    except OSError:
        return True
    return False


@contextlib.contextmanager
def running(workspace: Workspace):
    """`etl serve` as a process: where it is, and the process."""
    with workspace.spawn("serve") as process:
        try:
            yield process.stdout.readline().strip(), process
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


# As a process of its own


@pytest.fixture
def workspace(tmp_path):
    """A workspace whose service has one device."""
    made = Workspace(tmp_path / "a workspace")
    made.write("destinations.toml", DESTINATIONS.replace("[test", "[dev"))
    made.variables |= {"ADMIN_TOKEN": ADMIN, "HOST": "127.0.0.1", "PORT": "0", "UPLOADS_PER_MINUTE": "1000000"}
    added = made.etl("serve", "devices", "add", "--point", POINT, "--register", REGISTER, "--device", DEVICE,
                     "--token", TOKEN)  # fmt: skip
    assert added.code == 0, added.err
    return made


def storage(workspace: Workspace) -> Path:
    return workspace.root / "ingest" / "audio"


def send(url: str, audio: bytes | None = None, **fields: str) -> requests.Response:
    return requests.post(
        f"{url}{CHUNKS}", data={**FIELDS, **fields}, files={"chunk_file": ("c.ogg", audio or chunk())},
        headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60,
    )  # fmt: skip


def test_many_uploads_and_strangers_at_once_take_little_memory(workspace):
    """50 files of 10 MB that all have begun before any ends, 200 heads that never do, and who has no token."""
    workspace.variables["LOG_LEVEL"] = "error"  # nobody reads it
    with running(workspace) as (url, process):
        bodies = [body(bytes(10_000_000), {**FIELDS, "start_ts": f"2026-01-28T09:{n:02}:00Z"}) for n in range(50)]
        connections = [connected(url) for _ in bodies]
        for connection, whole in zip(connections, bodies, strict=True):
            connection.sendall(head(len(whole)) + whole[:1_000_000])
        loris = [connected(url) for _ in range(200)]
        for connection in loris:
            connection.sendall(b"POST /api/v1/chunks HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        with requests.Session() as session:
            for number in range(1_500):
                stranger = {"Authorization": f"Bearer {'x' * 200}{number}"}
                assert session.post(f"{url}{CHUNKS}", headers=stranger, timeout=30).status_code == 401
        with ThreadPoolExecutor(50) as pool:
            sent = pool.map(lambda pair: pair[0].sendall(pair[1][1_000_000:]), zip(connections, bodies, strict=True))
            assert list(sent) == [None] * 50
        assert [connection.recv(65536)[:12] for connection in connections] == [b"HTTP/1.1 200"] * 50
        assert memory(process.pid) < 150
        for connection in [*connections, *loris]:
            connection.close()


def test_told_to_end_it_lets_uploads_finish(workspace):
    with running(workspace) as (url, process), connected(url) as connection:
        whole = head(len(body(chunk()))) + body(chunk())
        connection.sendall(whole[:100_000])
        wait_for(lambda: list((storage(workspace) / "incoming").iterdir()) or "in_progress 1" in metrics(url))
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: refuses(url))
        connection.sendall(whole[100_000:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert process.wait(60) == 0


def test_its_log_is_json_and_names_no_token(workspace):
    with running(workspace) as (url, process):
        send(url)
        requests.post(f"{url}{CHUNKS}", headers={"Authorization": "Bearer a-token-of-nobody"}, timeout=30)
        requests.get(f"{url}{CHUNKS}", headers={"Authorization": f"Bearer {ADMIN}"}, timeout=30)
        process.terminate()
        out, err = process.communicate(timeout=60)
    events = [json.loads(line) for line in err.splitlines()]
    assert {"started", "chunk_uploaded", "request"} <= {event["event"] for event in events}
    assert all(event["request_id"] for event in events if event["event"] not in ("started", "ending"))
    assert not [token for token in (TOKEN, ADMIN, "a-token-of-nobody", "a-token") if token in out + err]


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_between_file_and_row_it_stores_the_chunk_once(workspace, when):
    moment = killed.At("ingest_api.storage:Storage.keep", when)
    process = killed.start(workspace, "serve", moment=moment)
    process.until(lambda: process.out().endswith("\n"))
    url = process.out().strip()
    with pytest.raises(requests.ConnectionError):
        send(url)
    assert process.ended().code == -signal.SIGKILL
    left = [path for path in storage(workspace).rglob("*") if path.suffix in (".ogg", ".part")]
    assert [path.suffix for path in left] == [".part" if when == "before" else ".ogg"]
    with serving(workspace.root / "ingest", UPLOADS_PER_MINUTE="1000000") as again:
        sent = [again.send(start_ts=START, end_ts=END) for _ in range(2)]
        assert [answer.status_code for answer in sent] == [200, 200]
        assert sent[0].json() == sent[1].json()
        assert len(again.ask("GET", CHUNKS).json()["chunks"]) == 1
        ago = time.time() - 7200
        os.utime(left[0], (ago, ago))
        again.run(sweep.sweep_files(again.server.config.app.state.service))
        assert again.files() == [sent[0].json()["stored_path"]]
        assert again.incoming() == []


# When there is little of something


def test_who_comes_too_often_is_told_when_to_come_back(tmp_path):
    with serving(tmp_path, UPLOADS_PER_MINUTE="2") as service:
        service.register()
        other = "00000000-0000-0000-0000-000000000004"
        service.register("a-token-of-another-one", other)
        sent = [service.send(b"") for _ in range(3)]
        assert [answer.status_code for answer in sent] == [422, 422, 429]
        assert sent[2].json() == {"detail": "Too many uploads of this device"}
        assert 1 <= int(sent[2].headers["Retry-After"]) <= 31
        assert service.send(b"", token="a-token-of-another-one", device_id=other).status_code == 422


def test_where_there_is_no_room_everybody_waits(tmp_path):
    with serving(tmp_path, MIN_FREE_BYTES=str(10**18)) as service:
        service.register()
        answer = service.send()
        assert (answer.status_code, answer.json()) == (503, {"detail": "Storage is almost full"})
        assert answer.headers["Retry-After"] == "30"
        assert service.ask("GET", "/health", None).json()["storage_writable"] is False


def test_no_more_uploads_are_taken_at_once_than_there_is_room_for(tmp_path, caplog):
    caplog.set_level("INFO", "etl")
    with serving(tmp_path, UPLOADS_AT_ONCE="1") as service, connected(service.url) as connection:
        service.register()
        whole = head(len(body())) + body()
        connection.sendall(whole[:-10])
        wait_for(lambda: "in_progress 1" in metrics(service.url))
        answer = service.send()
        assert (answer.status_code, answer.json()) == (503, {"detail": "Too many uploads at once"})
        connection.sendall(whole[-10:])
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert service.send().status_code == 200
        connection.sendall(whole[:-10])
        wait_for(lambda: "in_progress 1" in metrics(service.url))
        service.server.should_exit = True
        wait_for(lambda: [record.fields for record in caplog.records if record.message == "ending"])
        service.server.force_exit = True  # as a second Ctrl-C
        assert answered(connection) == (503, "Service is ending")
        assert service.incoming() == []


FULL, FAILED = (503, "Storage is full"), (500, "Failed to save chunk")


def test_a_file_that_goes_while_it_is_looked_at_stops_no_sweep(tmp_path):
    storage = Storage(tmp_path)
    storage.prepare()
    for folder, name in (("audio", "gone.ogg"), ("incoming", "gone.part")):
        (tmp_path / folder / name).symlink_to(tmp_path / "nowhere")
    (tmp_path / "audio" / "there.ogg").touch()
    storage.clear(-60)
    assert [name for name, _ in storage.older_than(-60)] == ["audio/there.ogg"]


def test_at_its_start_and_then_often_it_puts_right_what_was_left(tmp_path):
    left = tmp_path / "audio" / "audio" / "left.ogg"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left behind")
    os.utime(left, (time.time() - 100,) * 2)
    with serving(tmp_path, ORPHAN_SECONDS="60", SWEEP_SECONDS="0.05", STUCK_SECONDS="0.1") as service:
        wait_for(lambda: (tmp_path / "audio" / "orphans" / "audio" / "left.ogg").exists())
        service.register()
        service.send()
        claimed = service.ask("POST", "/api/v1/claims").json()
        assert [each["status"] for each in claimed] == ["PROCESSING"]
        wait_for(lambda: service.ask("GET", f"{CHUNKS}/{claimed[0]['chunk_id']}").json()["status"] == "QUEUED")
        assert "ingest_requeued_total 1" in metrics(service.url)
        assert "ingest_orphans_total 1" in metrics(service.url)


def test_pages_from_anywhere_may_ask_where_that_is_allowed(tmp_path):
    with serving(tmp_path, CORS_ENABLED="true") as service:
        origin = {"Origin": "https://elsewhere.example"}
        answer = service.ask("GET", "/health", None, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("number", "status", "detail"), [(errno.ENOSPC, *FULL), (errno.EDQUOT, *FULL), (errno.EIO, *FAILED)]
)
def test_a_disk_that_fails_is_told_from_one_that_is_full(service, monkeypatch, number, status, detail):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Incoming, "finish", fail)
    answer = service.send(start_ts="2027-01-01T00:00:00Z", end_ts="2027-01-01T00:01:00Z")
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})
    assert ("Retry-After" in answer.headers) is (status == 503)
    assert service.incoming() == []


def test_an_upload_that_takes_too_long_is_ended(tmp_path):
    with serving(tmp_path, UPLOAD_SECONDS="0.3") as service, connected(service.url) as connection:
        service.register()
        connection.sendall(head(100_000) + body(bytes(90_000))[:2_000])
        assert answered(connection) == (408, "Upload takes longer than 0.3 seconds")
        assert service.incoming() == []


def test_a_head_that_takes_too_long_is_ended(service, monkeypatch):
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.2)
    for begun in (b"", b"POST /api/v1/chunks HTTP/1.1\r\nHost: here\r\nX-Slow: "):
        with connected(service.url) as connection:
            connection.sendall(begun)
            assert connection.recv(100) == b""
    with requests.Session() as session:
        assert session.get(f"{service.url}/health", timeout=30).status_code == 200
        time.sleep(0.4)
        assert session.get(f"{service.url}/health", timeout=30).status_code == 200


def test_a_form_that_takes_too_long_is_ended(service, monkeypatch):
    monkeypatch.setattr(page, "FORM_SECONDS", 0.1)
    monkeypatch.setattr(middleware, "DRAIN_SECONDS", 0.1)
    with connected(service.url) as connection:
        connection.sendall(b"POST /enter HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\ntoken=")
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        while connection.recv(65536):
            pass


def test_a_storage_on_two_disks_is_refused(tmp_path):
    (tmp_path / "audio").symlink_to("/dev")
    with pytest.raises(SettingError, match="lie on two disks; let AUDIO_STORAGE_DIR name a folder on one"):
        Storage(tmp_path).prepare()


def test_a_file_that_was_written_in_part_is_no_file(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    incoming = Storage(tmp_path).incoming()
    incoming.path.parent.mkdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError):
            incoming.finish([bytes(150_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    incoming.abandon()
    assert not incoming.path.exists()
