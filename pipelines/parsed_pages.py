"""Pages that the guard has parsed, kept on disk until they are normalised, so that nobody parses them again."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

START = 64  # bytes of a page by which it is looked up


class Kept(NamedTuple):
    """One page: the length and the hash of its text, and where its records lie in the file."""

    length: int
    digest: int
    offset: int
    size: int


class ParsedPages:
    """Records by the JSON text they came from; a forked worker reads them, too, and any text may be unknown.

    dlt writes several pages as one list, so that a text is looked up page after page.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 open as long as the pages are wanted
        self._kept: defaultdict[bytes, list[Kept]] = defaultdict(list)
        self._end = 0

    def keep(self, text: bytes, records: pa.StructArray) -> None:
        """Keep the records of a text, which has them one after the other with commas between."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, pa.schema(list(records.type))) as stream:
            stream.write_batch(pa.RecordBatch.from_struct_array(records))
        content = sink.getvalue()
        self._file.write(content)
        self._file.flush()
        self._kept[text[:START]].append(Kept(len(text), hash(text), self._end, len(content)))
        self._end += len(content)

    def find(self, page: bytes) -> pa.StructArray | None:
        """The records of a JSON list if all of it was kept, else None."""
        found: list[pa.StructArray] = []
        at = 1
        while at < len(page) - 1:
            kept = self._at(page, at)
            if kept is None:
                return None
            found.append(self._read(kept))
            at += kept.length + 1
        return pa.concat_arrays(found) if len({each.type for each in found}) == 1 else None

    def _at(self, page: bytes, at: int) -> Kept | None:
        candidates = self._kept.get(page[at : at + START], ())
        return next((kept for kept in candidates if hash(page[at : at + kept.length]) == kept.digest), None)

    def _read(self, kept: Kept) -> pa.StructArray:
        content = os.pread(self._file.fileno(), kept.size, kept.offset)
        return pa.ipc.open_stream(content).read_next_batch().to_struct_array()

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()
