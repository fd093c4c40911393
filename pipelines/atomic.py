"""Files that are whole or not there: written beside the target, made durable, then renamed."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Replace a file in one step; `mode` is that of a new file, less the umask."""
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """The same for what is no text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with open(part, "wb", opener=partial(os.open, mode=mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_secret(path: Path, text: str) -> None:
    """Replace a file that its owner alone may read; not even a power cut brings the old one back."""
    write_text(path, text, 0o600)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step; times become ISO 8601."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
