"""A sign of life in a staging folder: a file that is locked on this machine, a heartbeat in a bucket.

Neither a host nor a process number tells exports apart: containers share both.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

FILE = "alive"
BEAT_SECONDS = 20.0
DEAD_AFTER = timedelta(minutes=2)  # without a beat


@contextmanager
def shown(filesystem: Any, staging: str) -> Iterator[None]:
    """For as long as the block runs, others see that the staging folder is in use."""
    path = f"{staging}/{FILE}"
    _beat(filesystem, path)
    if isinstance(filesystem, LocalFileSystem):
        with Path(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_beat_on, args=(filesystem, path, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_alive(filesystem: Any, staging: str) -> bool:
    """Whether an export is at work in a staging folder."""
    path = f"{staging}/{FILE}"
    try:
        if isinstance(filesystem, LocalFileSystem):
            with Path(path).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        return datetime.now(UTC) - datetime.fromisoformat(filesystem.cat_file(path).decode()) < DEAD_AFTER
    except BlockingIOError:
        return True
    except (FileNotFoundError, NotADirectoryError):
        return False


def _beat_on(filesystem: Any, path: str, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        with suppress(OSError):  # the next beat comes before anybody takes us for dead
            _beat(filesystem, path)


def _beat(filesystem: Any, path: str) -> None:
    filesystem.pipe_file(path, datetime.now(UTC).isoformat().encode())
