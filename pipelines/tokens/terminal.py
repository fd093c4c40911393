"""A person at a terminal who signs in with a browser: here, or anywhere else by pasting the address they end up at."""

from __future__ import annotations

import getpass
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pipelines.errors import SignInNeeded, UsageError

PATIENCE_SECONDS = 300.0
QUIET_SECONDS = 10.0  # a browser may open a connection and say nothing
DONE = b"Signed in. This window can be closed."
NOT_OURS = b"This is not the sign-in that is waited for."
Query = dict[str, str]


class Terminal:
    """Asks on stderr and reads from stdin; `browser` is false where there is none.

    `sections` is where settings that stand for answers are.
    """

    def __init__(self, browser: bool, sections: tuple[str, ...]) -> None:
        self._browser, self.sections = browser, sections

    def visit(self, address: Callable[[str], str], redirect_uri: str, state: str) -> tuple[str, Query]:
        """Let them open an address; where they were sent back to, and with which query."""
        if self._browser and _on_loopback(redirect_uri):
            with _waiting(redirect_uri, state) as (here, answers):
                if webbrowser.open(address(here)):
                    _say(f"a browser has opened; sign in there, or open this address:\n{address(here)}")
                    return here, _next(answers)
        _say(f"open this address, sign in, and paste the address you end up at (its page may fail to load):\n"
             f"{address(redirect_uri)}")  # fmt: skip
        return redirect_uri, _query(self.ask("address or code"))

    def ask(self, question: str, secret: bool = False) -> str:
        """What they answer on one line."""
        if secret and sys.stdin.isatty():
            answer = getpass.getpass(f"{question}: ", sys.stderr)
        else:
            sys.stderr.write(f"{question}: ")
            sys.stderr.flush()
            answer = sys.stdin.readline()
        if not answer.strip():
            raise UsageError(f"{question}: nothing was given; start again")
        return answer.strip()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _on_loopback(redirect_uri: str) -> bool:
    parts = _parts(redirect_uri, "redirect_uri")
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")


def _query(pasted: str) -> Query:
    """The query of an address, or a code alone."""
    return dict(parse_qsl(_parts(pasted, "what was pasted").query)) if "://" in pasted else {"code": pasted}


def _parts(address: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.port  # which is read when it is asked for
    except ValueError as error:
        raise UsageError(f"{what}: not an address: {error}; start again") from None
    return parts


@contextmanager
def _waiting(redirect_uri: str, state: str) -> Iterator[tuple[str, Queue[Query]]]:
    """Serve a redirect URI on loopback; its address with a port, and the one answer with our state."""
    answers: Queue[Query] = Queue()
    wanted = urlsplit(redirect_uri)

    class Handler(BaseHTTPRequestHandler):
        timeout = QUIET_SECONDS

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            answer = dict(parse_qsl(asked.query))
            ours = (asked.path.rstrip("/"), answer.get("state")) == (wanted.path.rstrip("/"), state)
            self.send_response(200 if ours else 400)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(DONE if ours else NOT_OURS)
            if ours:
                answers.put(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing: the code stands in the address."""

    try:
        served = ThreadingHTTPServer(("127.0.0.1", wanted.port or 0), Handler)
    except OSError as error:
        what = f"redirect_uri {redirect_uri}: cannot be served here: {error.strerror}"
        raise UsageError(f"{what}; end what listens there, or use --no-browser") from None
    with served as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://{wanted.hostname}:{server.server_port}{wanted.path}", answers
        finally:
            server.shutdown()


def _next(answers: Queue[Query]) -> Query:
    try:
        return answers.get(timeout=PATIENCE_SECONDS)
    except Empty:
        minutes = f"{PATIENCE_SECONDS / 60:.0f} minutes"
        raise SignInNeeded(f"nobody signed in within {minutes}; start again, or use --no-browser") from None
