"""A source whose rows name files, a host on loopback that serves them and counts, and a folder as their bucket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from sandbox.sound import mp3
from tests.served import served
from tests.workspace import Workspace

SPEC = """
resources:
  recordings:
    files: {{by: audio, table: audio_files, failures: audio_failures{more}}}
"""
SOURCE = '''\
"""Rows from a JSON file, each of which names a file."""

import json
from pathlib import Path

import dlt

from sources.kit.files import FileItem, Files

COLUMNS = {
    "id": {"data_type": "text", "nullable": False},
    "twin": {"data_type": "text"},
    "part": {"data_type": "text"},
    "started": {"data_type": "timestamp"},
    "url": {"data_type": "text"},
}


@dlt.source(name="vault", section="vault")
def vault(rows_file: str = dlt.config.value):
    yield recordings(rows_file)
    yield notes()


@dlt.resource(primary_key="id", write_disposition="merge", columns=COLUMNS)
def recordings(rows_file, started=dlt.sources.incremental("started", initial_value="2024-01-01T00:00:00Z")):
    yield [row for row in json.loads(Path(rows_file).read_text()) if row["started"] >= started.start_value]


@dlt.resource(primary_key="id", write_disposition="merge")
def notes():
    yield [{"id": 1}]


def audio(prefix: str = "calls"):
    def items(rows):
        for row in rows:
            if row["url"]:
                yield FileItem(row["id"], row["url"], f"{prefix}/{row['id']}.mp3", row, media="mp3")

    def receipt(item, stored):
        return {
            "id": item.id, "twin": item.row["twin"], "object_key": stored.key, "bytes": stored.bytes,
            "sha256": stored.sha256, "seconds": stored.seconds,
        }

    columns = {
        "id": {"data_type": "text", "nullable": False}, "twin": {"data_type": "text"},
        "object_key": {"data_type": "text"}, "bytes": {"data_type": "bigint"},
        "sha256": {"data_type": "text"}, "seconds": {"data_type": "double"},
    }
    more = {"same": ("twin",), "when": "started", "names": ("part",), "about": ("twin",)}
    return Files("id", items, receipt, columns, **more)
'''


@dataclass
class Host:
    """What serves the files: their answers by path, and how often each was asked for."""

    url: str
    bodies: dict[str, bytes | int] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def gets(self) -> int:
        return self.asked.total()


@contextmanager
def host() -> Iterator[Host]:
    """A host on loopback: a body of bytes is served, one that is a number is a status, one that lacks is 404."""

    def answer(asked: BaseHTTPRequestHandler) -> tuple[int, str, bytes]:
        there.asked[asked.path] += 1
        body = there.bodies.get(asked.path, 404)
        return (body, "audio/mpeg", b"") if isinstance(body, int) else (200, "audio/mpeg", body)

    there = Host("")
    with served(answer) as url:
        there.url = url.rstrip("/")
        yield there


def vault(workspace: Workspace, host: Host, count: int, more: str = "", first: int = 1) -> list[dict[str, Any]]:
    """Write the spec, the source and its rows; the host has their files."""
    workspace.source("vault", SOURCE, SPEC.format(more=f", {more}" if more else ""))
    rows = [row(host, number) for number in range(first, first + count)]
    write(workspace, rows)
    return rows


def write(workspace: Workspace, rows: list[dict[str, Any]]) -> Path:
    """Let the source have these rows."""
    file = workspace.write("vault.json", json.dumps(rows))
    workspace.variables["SOURCES__VAULT__ROWS_FILE"] = str(file)
    return file


def row(host: Host, number: int, **other: Any) -> dict[str, Any]:
    """The row of a file, which the host has from now on."""
    path = f"/{number}.mp3"
    host.bodies[path] = mp3(number, 1)
    return {
        "id": f"r{number:03}", "twin": None, "part": f"call_p{number:02}", "url": host.url + path,
        "started": f"{date(2024, 1, 1) + timedelta(number)}T00:00:00Z", **other,
    }  # fmt: skip
