"""A paged JSON API on loopback, its bodies made beforehand."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

PAGE_ROWS = 100


@contextmanager
def serve(lines: Path, latency_seconds: float) -> Iterator[str]:
    """`GET /records?page=N` with the records of a JSONL file; yields the address."""
    server = _Server(_bodies(lines), latency_seconds)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _bodies(path: Path) -> list[bytes]:
    with path.open("rb") as lines:
        pages = list(iter(lambda: list(islice(lines, PAGE_ROWS)), []))
    records = (b",".join(line.strip() for line in page) for page in pages)
    return [b'{"pages": %d, "records": [%s]}' % (len(pages), page) for page in records]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, bodies: list[bytes], latency_seconds: float) -> None:
        self.bodies, self.latency_seconds = bodies, latency_seconds
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        time.sleep(self.server.latency_seconds)
        number = int(parse_qs(urlsplit(self.path).query).get("page", ["1"])[0])
        body = self.server.bodies[number - 1]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A request is no news."""
