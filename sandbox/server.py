"""The sandbox: a loopback HTTP server in front of one small module per upstream.

A module `sandbox.<name>` has
* `settings(base_url, folder, world) -> {dotted setting: value}`: what points the source at the stand-in;
  it may write files into `folder`, and is called again when the clock moves;
* `answer(request, world) -> Reply`, unless it serves files only; the path comes without `/<name>`;
* `BUSY`, a Reply, if the upstream refuses a request while another one is in flight.

Other processes steer it over HTTP: `POST /__clock {"day": 2}`, `POST /__faults {"pattern": …, "kind": …}`,
`DELETE /__faults`, `GET /__requests`, `DELETE /__requests`.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import shlex
import signal
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from types import ModuleType, TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

import sandbox as package
from sandbox.exchange import Reply, Request, World
from sandbox.faults import CHANGED, INSTEAD, SENT, Fault, Faults, reset, send_whole, stays, unconditional

__all__ = ["Reply", "Request", "Sandbox", "Seen", "World", "as_environment", "names", "serve"]

BODYLESS = {204, 304}
RESET = 0


def names() -> tuple[str, ...]:
    """The modules of this package that stand in for an upstream, as they are now: workspaces add theirs."""
    found = sorted({module.name for module in pkgutil.iter_modules(package.__path__)})
    return tuple(name for name in found if _stand_in(name))


def _stand_in(name: str) -> ModuleType | None:
    """The module that stands in for an upstream, if there is one."""
    if not name.isidentifier() or importlib.util.find_spec(f"sandbox.{name}") is None:
        return None
    module = importlib.import_module(f"sandbox.{name}")
    return module if hasattr(module, "settings") else None


class Seen(NamedTuple):
    """A request that came in; `status` is 0 when the connection was reset, `at` the time of `monotonic`."""

    method: str
    path: str
    headers: dict[str, str]
    status: int
    at: float


class Sandbox:
    """Every upstream on one loopback port, from construction to `stop`."""

    def __init__(self, world: World | None = None, folder: Path | None = None, port: int = 0) -> None:
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._in_flight: Counter[str] = Counter()
        self._set_up: set[str] = set()
        self.world = world or World()
        self.faults = Faults()
        self._server = _Server(self, port)
        self._open.callback(self._server.end)
        self.folder = folder or Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port and every open connection; a second call does nothing."""
        self._open.close()

    def settings(self, *chosen: str) -> dict[str, Any]:
        """Dotted settings that point sources at this sandbox; for every upstream when none is named."""
        found: dict[str, Any] = {}
        for name in chosen or names():
            found |= self._settings_of(name)
        return found

    def _settings_of(self, name: str) -> dict[str, Any]:
        module = _stand_in(name)
        if module is None:
            raise ValueError(f"sandbox: no upstream {name!r}; use one of {', '.join(names())}")
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        self._set_up.add(name)
        found: dict[str, Any] = module.settings(f"{self.url}/{name}", folder, self.world)
        return found

    def move_to(self, day: int) -> None:
        """Set the clock; files that `settings` wrote follow."""
        self.world = replace(self.world, day=day)
        for name in sorted(self._set_up):
            self._settings_of(name)

    def fault(self, pattern: str, kind: str, times: int = 1, **options: Any) -> None:
        """Hit the next `times` requests whose path and query match: `after` so many of them, before the day `until`."""
        self.faults.add(pattern, kind, times, **options)

    def clear_faults(self) -> None:
        """Forget every fault."""
        self.faults.clear()

    @property
    def requests(self) -> list[Seen]:
        """The requests so far, in the order they were answered."""
        with self._lock:
            return list(self._seen)

    def forget_requests(self) -> None:
        """Start the list of requests anew."""
        with self._lock:
            self._seen.clear()

    def note(self, request: Request, target: str, status: int) -> None:
        """Put a request on the list."""
        with self._lock:
            self._seen.append(Seen(request.method, target, request.headers, status, monotonic()))

    @contextmanager
    def turn(self, name: str) -> Iterator[bool]:
        """Hold a place at an upstream; yields whether it is the only one."""
        with self._lock:
            self._in_flight[name] += 1
            alone = self._in_flight[name] == 1
        try:
            yield alone
        finally:
            with self._lock:
                self._in_flight[name] -= 1

    def reply(self, request: Request, fault: Fault | None, alone: bool) -> Reply:
        """What a request gets, its fault included."""
        kind, options = (fault.kind, fault.options) if fault else ("", {})
        if kind in INSTEAD:
            return INSTEAD[kind](options)
        spoilt = kind in CHANGED or kind in SENT
        reply = self._answer(unconditional(request) if spoilt else request, alone)
        return CHANGED[kind](reply, options) if kind in CHANGED else reply

    def _answer(self, request: Request, alone: bool) -> Reply:
        name, _, path = request.path.removeprefix("/").partition("/")
        module = _stand_in(name)
        if module is None or not hasattr(module, "answer"):
            answering = ", ".join(n for n in names() if hasattr(_stand_in(n), "answer"))
            return Reply(404, {"message": f"sandbox: nothing at /{name}; try one of: {answering}"})
        busy: Reply | None = getattr(module, "BUSY", None)
        if busy and not alone:
            return busy
        reply: Reply = module.answer(replace(request, path=f"/{path}"), self.world)
        return reply

    def control(self, request: Request) -> Reply:
        """Steer the sandbox from another process."""
        try:
            return self._control(request)
        except (TypeError, ValueError) as error:
            return Reply(400, {"message": str(error)})

    def _control(self, request: Request) -> Reply:
        match request.method, request.path:
            case "POST", "/__clock":
                self.move_to(**request.json())
                return Reply(200, {"day": self.world.day, "now": self.world.now.isoformat()})
            case "POST", "/__faults":
                self.fault(**request.json())
            case "DELETE", "/__faults":
                self.clear_faults()
            case "GET", "/__requests":
                return Reply(200, [seen._asdict() for seen in self.requests])
            case "DELETE", "/__requests":
                self.forget_requests()
            case _:
                return Reply(404, {"message": f"sandbox: no {request.method} {request.path}"})
        return Reply(204)


class _Server(ThreadingHTTPServer):
    """A quiet server that knows its connections, so that none outlives it."""

    request_queue_size = 128

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        self.sandbox = sandbox
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def end(self) -> None:
        """Stop accepting and cut what is open."""
        self.shutdown()
        self.server_close()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing; `Sandbox.requests` keeps the list."""

    def _converse(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.close_connection = True
            return self._send(Reply(411, {"message": "sandbox: send a Content-Length"}))
        request = self._request()
        if request.path.startswith("/__"):
            return self._send(self.server.sandbox.control(request))
        return self._pass_on(request, self._fault())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _converse

    def _fault(self) -> Fault | None:
        sandbox = self.server.sandbox
        return sandbox.faults.due(self.path, sandbox.world.day)

    def _request(self) -> Request:
        address = urlsplit(self.path)
        return Request(
            self.command,
            unquote(address.path),
            parse_qs(address.query, keep_blank_values=True),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("Content-Length", 0))),
        )

    def _pass_on(self, request: Request, fault: Fault | None) -> None:
        sandbox = self.server.sandbox
        if fault and fault.kind == "reset":
            sandbox.note(request, self.path, RESET)
            self.close_connection = True
            return reset(self.connection)
        with sandbox.turn(request.path.split("/")[1]) as alone:
            reply = sandbox.reply(request, fault, alone)
            sandbox.note(request, self.path, reply.status)
            if fault and fault.kind == "slow" and not stays(self.connection, _seconds(fault)):
                self.close_connection = True
                return None
        return self._send(reply, fault)

    def _send(self, reply: Reply, fault: Fault | None = None) -> None:
        content = reply.content()
        self.send_response_only(reply.status)
        self.send_header("Date", format_datetime(self.server.sandbox.world.now, usegmt=True))
        for name, value in _headers(reply, content).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD" or reply.status in BODYLESS:
            return
        send = SENT.get(fault.kind, send_whole) if fault else send_whole
        if not send(self.connection, self.wfile, content, fault.options if fault else {}):
            self.close_connection = True


def _seconds(fault: Fault) -> float:
    return float(fault.options.get("seconds", 1))


def _headers(reply: Reply, content: bytes) -> Mapping[str, str]:
    if reply.status in BODYLESS:
        return reply.headers
    return {"Content-Type": reply.content_type(), "Content-Length": str(len(content)), **reply.headers}


def as_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Dotted settings as dlt reads them from the process environment."""
    return {
        name.upper().replace(".", "__"): value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }


def serve(world: World, port: int) -> None:
    """Serve until SIGINT or SIGTERM; print the address and the settings as `export` lines, for a shell to read."""
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with Sandbox(world, port=port) as sandbox:
        exports = as_environment(sandbox.settings()).items()
        lines = [
            f"export SANDBOX_URL={sandbox.url}",
            *(f"export {name}={shlex.quote(value)}" for name, value in exports),
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        over.wait()
