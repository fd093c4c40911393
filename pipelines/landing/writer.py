"""Pages of rows into raw files: JSON lines as dlt itself would write them, Arrow tables as parquet."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import datetime
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.json import custom_pua_encode
from dlt.common.json import json as dlt_json
from dlt.extract.extractors import MaterializedEmptyList
from dlt.extract.utils import get_data_item_format

from pipelines.errors import UsageError
from pipelines.landing.manifest import RawFile, filed, named
from pipelines.landing.store import Store

AS_DLT = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME
PACKED, PLAIN, TABLES = ".jsonl.zst", ".jsonl", ".parquet"
NO_FILE = "gives its pages tables or hints of their own, which raw files do not keep; leave it out with --exclude"


class Writer:
    """The files of one fetch, which are all there when the block has ended well, or none of them."""

    def __init__(self, store: Store, spec: str, run_id: str, at: datetime, packed: bool) -> None:
        self._store, self._spec, self._run_id, self._at, self._packed = store, spec, run_id, at, packed
        self._open = ExitStack()
        self._lines: dict[str, _Lines] = {}
        self._tables: dict[str, list[_Tables]] = {}
        self.files: list[RawFile] = []
        self.asked_tables: dict[str, None] = {}  # resources

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._open.__exit__(*failure)
        if not failure[0]:
            tables = [file for files in self._tables.values() for file in files]
            written: list[_Lines | _Tables] = [*self._lines.values(), *tables]
            self.files = [self._told(file) for file in written]

    def write(self, resource: str, item: Any, meta: Any) -> None:
        """Append a page, or one row; an item that asks for a table only has none, and is noted."""
        if isinstance(item, MaterializedEmptyList):
            self.asked_tables[resource] = None
            return
        page = item if isinstance(item, list) else [item]
        match get_data_item_format(item):
            case "object" if meta is None:
                self._lines_of(resource).write(page)
            case "arrow" if meta is None:
                for table in page:
                    self._write_table(resource, table)
            case _:
                raise UsageError(f"{self._spec}: {resource} {NO_FILE} {resource}")

    def holds(self, resource: str, row: Any) -> bool:
        """Whether a row that no table takes comes back from a file of this resource as it is."""
        return resource not in self._tables and isinstance(row, dict) and _survives(row)

    def _write_table(self, resource: str, table: pa.Table) -> None:
        files = self._tables.setdefault(resource, [])
        if not files or not files[-1].takes(table):
            files.append(_Tables(resource, self._name(resource, TABLES, len(files)), table.schema))
            files[-1].open(self._open.enter_context(self._store.create(files[-1].name)), self._open)
        files[-1].write(table)

    def _lines_of(self, resource: str) -> _Lines:
        if resource not in self._lines:
            lines = _Lines(resource, self._name(resource, PACKED if self._packed else PLAIN))
            lines.open(self._open.enter_context(self._store.create(lines.name)), self._open, self._packed)
            self._lines[resource] = lines
        return self._lines[resource]

    def _name(self, resource: str, ending: str, number: int = 0) -> str:
        part = f".{number + 1}" if number else ""
        return f"{named(self._at, self._spec, filed(resource), self._run_id)}{part}{ending}"

    def _told(self, file: _Lines | _Tables) -> RawFile:
        return RawFile(file.resource, file.name, file.rows, self._store.size(file.name), file.typed)


class _Lines:
    """One file of JSON lines."""

    def __init__(self, resource: str, name: str) -> None:
        self.resource, self.name, self.rows, self.typed = resource, name, 0, False
        self._file: Any = None

    def open(self, file: IO[bytes], until: ExitStack, packed: bool) -> None:
        self._file = file
        if packed:
            self._file = until.enter_context(closing(pa.CompressedOutputStream(_Kept(file), "zstd")))

    def write(self, page: list[Any]) -> None:
        lines = getattr(page, "lines", None) or [self._text(row) for row in page]
        self._file.write(b"\n".join(lines) + b"\n")
        self.rows += len(lines)

    def _text(self, row: Any) -> bytes:
        return orjson.dumps(row, self._encoded, AS_DLT)

    def _encoded(self, value: Any) -> Any:
        self.typed = True
        return custom_pua_encode(value)


class _Tables:
    """One parquet file, of tables with the same columns."""

    typed = False

    def __init__(self, resource: str, name: str, schema: pa.Schema) -> None:
        self.resource, self.name, self.rows, self._schema = resource, name, 0, schema
        self._writer: Any = None

    def open(self, file: IO[bytes], until: ExitStack) -> None:
        self._writer = until.enter_context(pq.ParquetWriter(_Kept(file), self._schema, compression="zstd"))

    def takes(self, table: Any) -> bool:
        return bool(table.schema.equals(self._schema))

    def write(self, table: Any) -> None:
        self._writer.write(table)
        self.rows += table.num_rows


class _Kept:
    """A file that stays open when Arrow is done with it, lest it be there though the fetch has failed."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, content: Any) -> int:
        return self._file.write(bytes(content))

    def flush(self) -> None:
        """Left to the file itself."""

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        return self._file.tell()


def _survives(row: dict[str, Any]) -> bool:
    try:
        return bool(dlt_json.typed_loadb(dlt_json.typed_dumpb(row)) == row)
    except (TypeError, ValueError):
        return False
