"""Parquet for this machine, which reads it once and deletes it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.data_writers.writers import ArrowToParquetWriter

UNPACKED = "none"
DLTS = (
    "flavor", "version", "compression", "data_page_size", "coerce_timestamps", "allow_truncated_timestamps",
    "use_compliant_nested_type", "write_page_index", "use_content_defined_chunking",
)  # fmt: skip


class PlainParquet(ArrowToParquetWriter):
    """Without dictionaries where it is not packed either: to make them takes longer than to write and read more."""

    def _create_writer(self, schema: pa.Schema) -> pq.ParquetWriter:
        settings = {name: getattr(self.parquet_format, name) for name in DLTS}
        return pq.ParquetWriter(self._f, schema, use_dictionary=settings["compression"] != UNPACKED, **settings)
