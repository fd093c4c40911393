"""A table as parquet, CSV or lines of JSON; partitioned in folders as Hive names them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from pipelines.export.partitions import Part, Piece, cut
from pipelines.export.place import Exported, Place
from pipelines.export.snapshot import Snapshot
from pipelines.rows.as_json import form

ISO = "%Y-%m-%dT%H:%M:%S"


class Sink(Protocol):
    """Takes the rows of one file."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""

    def close(self) -> None:
        """Finish the file."""


class Parquet:
    """Typed, packed with zstd; a batch is a row group."""

    def __init__(self, stream: Any, schema: pa.Schema, json_columns: set[str]) -> None:
        self._writer = pq.ParquetWriter(stream, schema, compression="zstd")
        self.write, self.close = self._writer.write_batch, self._writer.close


class Csv:
    """RFC 4180: a header, CRLF, texts in quotes, so that an empty one is none; times in ISO 8601, bytes as base64."""

    def __init__(self, stream: Any, schema: pa.Schema, json_columns: set[str]) -> None:
        self._schema = pa.schema([(field.name, _csv_type(field.type)) for field in schema])
        self._writer = pacsv.CSVWriter(stream, self._schema, write_options=pacsv.WriteOptions(eol="\r\n"))
        self.close = self._writer.close

    def write(self, batch: pa.RecordBatch) -> None:
        arrays = [_csv_column(column) for column in batch.columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))


class Jsonl:
    """A JSON object per line; what was JSON is part of it, decimals are text, bytes base64."""

    def __init__(self, stream: Any, schema: pa.Schema, json_columns: set[str]) -> None:
        self._stream = stream
        self._forms = {field.name: form(field.type, field.name in json_columns) for field in schema}

    def write(self, batch: pa.RecordBatch) -> None:
        lines = (
            {name: None if value is None else self._forms[name](value) for name, value in row.items()}
            for row in batch.to_pylist()
        )
        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
        self._stream.write(b"".join(orjson.dumps(line, option=options) for line in lines))

    def close(self) -> None:
        """Nothing is left to write."""


FORMATS: dict[str, Callable[[Any, pa.Schema, set[str]], Sink]] = {"parquet": Parquet, "csv": Csv, "jsonl": Jsonl}


def written(source: Snapshot, place: Place, table: str, name: str, parts: Sequence[Part]) -> Exported:
    """Write one table into the place's staging."""
    done = Exported(table)
    columns = source.columns(table)
    json_columns = {column for column in columns if columns[column]["data_type"] == "json"}
    whole = source.arrow_schema(table)
    gone = [part.column for part in parts if not part.unit]
    schema = pa.schema([field for field in whole if field.name not in gone])
    with ExitStack() as open_file:
        sink: Sink | None = None
        for path, starts, batch in _routed(source, table, parts):
            if starts:
                open_file.close()
                stream = open_file.enter_context(place.staged(done.next_file(path, name)))
                sink = open_file.enter_context(closing(FORMATS[name](stream, schema, json_columns)))
            assert sink is not None
            sink.write(batch)
            done.rows += batch.num_rows
    done.size = place.size(done.files)
    return done


def _routed(source: Snapshot, table: str, parts: Sequence[Part]) -> Iterator[Piece]:
    """Each batch with its path and whether a file starts with it; a table without partitions has one, rows or not."""
    if parts:
        yield from cut(source.batches(table, parts), table, parts)
        return
    empty = source.arrow_schema(table).empty_table()
    yield table, True, pa.RecordBatch.from_pylist([], schema=empty.schema)
    for batch in source.batches(table):
        yield table, False, batch


def iso(column: pa.Array) -> pa.Array:
    """Timestamps as text in ISO 8601, those in UTC with a Z; any other column as it is."""
    if not pa.types.is_timestamp(column.type):
        return column
    return pc.strftime(column, format=f"{ISO}Z" if column.type.tz else ISO)


def _csv_type(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(kind) or pa.types.is_binary(kind) else kind


def _csv_column(column: pa.Array) -> pa.Array:
    if pa.types.is_binary(column.type):
        encoded = (None if value is None else base64.b64encode(value).decode() for value in column.to_pylist())
        return pa.array(encoded, pa.string())
    return iso(column)
