"""What dlt's normaliser says about names, nesting, keys, types and contracts; its private words are used here only."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
from dlt.common.data_types import TDataType
from dlt.common.libs.pyarrow import columns_to_arrow, get_py_arrow_datatype
from dlt.common.normalizers.json.relational import DataItemNormalizer
from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns
from dlt.common.time import get_context_timezone_name, normalize_timezone
from dlt.common.typing import VARIANT_FIELD_FORMAT
from dlt.normalize.items_normalizers import JsonLItemsNormalizer

from pipelines.columnar.shape import Path
from pipelines.columnar.surprise import Surprise


class Rules:
    """Answers of one normaliser; they hold until dlt's row code changes its schema."""

    def __init__(self, normalizer: JsonLItemsNormalizer) -> None:
        self._rows, self._schema = normalizer, normalizer.schema
        self._caps = normalizer.config.destination_capabilities
        self.zone = get_context_timezone_name()

    @property
    def _words(self) -> DataItemNormalizer:
        return cast(DataItemNormalizer, self._schema.data_item_normalizer)

    def refuse(self, root: str) -> None:
        """Raise where a root table is for dlt's row code alone, or not known yet."""
        if root not in self._schema.tables:
            raise Surprise(f"{root}: no such table yet")
        if self._schema._compiled_excludes:
            raise Surprise(f"{root}: the schema leaves fields out")
        if self._words._get_root_row_id_type(root) == "row_hash":
            raise Surprise(f"{root}: the hash of a whole row is its id")
        propagation = self._words.propagation_config or {}
        tables = dict(propagation.get("tables") or {})
        own = tables.pop(root, self._root_link)
        if propagation.get("root") or own != self._root_link:
            raise Surprise(f"{root}: hands columns of its own down to nested tables")

    @property
    def _root_link(self) -> dict[str, str]:
        return {self.row_id: self.root_id}

    def hands_down_ids(self, root: str) -> bool:
        """Whether nested rows carry the id of their root row."""
        return root in ((self._words.propagation_config or {}).get("tables") or {})

    def primary_key(self, root: str) -> list[str] | None:
        """The columns whose hash is the id of a row, or None where ids are random."""
        is_hashed = self._words._get_root_row_id_type(root) == "key_hash"
        return self._words._get_primary_key(root) if is_hashed else None

    @property
    def row_id(self) -> str:
        return self._words.c_dlt_id

    @property
    def load_id(self) -> str:
        return self._words.c_dlt_load_id

    @property
    def root_id(self) -> str:
        return self._words.c_dlt_root_id

    @property
    def parent_id(self) -> str:
        return self._words.c_dlt_parent_id

    @property
    def list_index(self) -> str:
        return self._words.c_dlt_list_idx

    def links(self) -> set[str]:
        """The columns that no key of a row may fill."""
        return {self.row_id, self.load_id, self.root_id, self.parent_id, self.list_index}

    def name(self, key: str) -> str:
        """The name a key gets in a column."""
        named = key and not key.isspace()
        return self._words._normalize_identifier(key) if named else self._words.EMPTY_KEY_IDENTIFIER

    def table_name(self, key: str) -> str:
        """The name a key gets in a table."""
        return self._words._normalize_table_identifier(key)

    def joined(self, names: Path) -> str:
        """Names along a path as the name of one column or table."""
        return self._words._shorten_fragments(*names) if len(names) > 1 else names[0]

    def level(self, root: str) -> int:
        """How deep nested tables may go."""
        return self._words._get_table_nesting_level(root, self._words.max_nesting) or 0

    def keeps_whole(self, table: str, column: str, level: int) -> bool:
        """Whether an object or a list stays in one json column."""
        return self._words._is_nested_type(table, column, level)

    def columns(self, table: str) -> TTableSchemaColumns:
        """The columns of a table that have a type."""
        return self._schema.get_table_columns(table)

    def has_table(self, table: str) -> bool:
        return table in self._schema.tables

    def is_nested(self, table: str) -> bool:
        return self._words._should_be_nested(table)

    def discards_table(self, table: str) -> bool:
        """Whether a contract drops the rows of a nested table."""
        return table in self._rows._filtered_tables

    def discards_value(self, table: str, column: str) -> bool:
        """Whether a contract drops the values of a column that is not there."""
        return self._discarded(table, column) == "discard_value"

    def _discarded(self, table: str, column: str) -> str | None:
        return self._rows._filtered_tables_columns.get(table, {}).get(column)

    def take_null(self, table: str, column: str) -> None:
        """Note a column that is not there and has nothing but nulls; raise where dlt would do more than that."""
        if self._discarded(table, column) == "discard_row" or self._schema._infer_hint("not_null", column):
            raise Surprise(f"{table}.{column}: null means something here")
        self._rows._null_only_columns.setdefault(table, set()).add(column)

    def arrow_schema(self, columns: TTableSchemaColumns) -> pa.Schema:
        """The columns of a table as dlt's parquet writer would write them."""
        return columns_to_arrow(columns, self._caps, self.zone)

    def arrow_type(self, column: TColumnSchema) -> pa.DataType:
        return get_py_arrow_datatype(column, self._caps, self.zone)

    def data_type(self, value: Any) -> TDataType:
        """dlt's type of a Python value."""
        return self._rows._py_type_to_sc_type(type(value))

    def variant(self, column: str, data_type: TDataType) -> str:
        """The column that takes values which do not fit another."""
        return self._rows._shorten_fragments(column, VARIANT_FIELD_FORMAT % data_type)

    def coerce(self, column: TColumnSchema, value: Any) -> Any:
        """A value as the column has it; raises ValueError where it does not fit."""
        data_type = data_type_of(column)
        try:
            fitted = self._rows._coerce_type(data_type, self.data_type(value), value)
        except SyntaxError as error:
            raise ValueError(str(error)) from error
        if callable(fitted):
            raise Surprise(f"{column['name']}: a value that chooses its own column")
        if data_type != "timestamp":
            return fitted
        override = self._rows._timezone_override
        return normalize_timezone(fitted, column.get("timezone") is not False if override is None else override)


def data_type_of(column: TColumnSchema) -> TDataType:
    """The type of a column that has one."""
    return cast(TDataType, column["data_type"])
