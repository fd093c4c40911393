"""Values into columns: dlt's coercion, whole arrays at a time where the result is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from dlt.common.json import PUA_CHARACTER_MAX, PUA_START, custom_pua_decode, json
from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns

from pipelines.columnar.rules import Rules, data_type_of
from pipelines.columnar.surprise import MISFIT, Surprise

EXACT: dict[str, set[type]] = {"bigint": {int}, "double": {float, int}, "bool": {bool}, "text": {str}}
ISO = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})?$"
MICROSECONDS = r"(\.\d{6})\d+"
INSTANT = pa.timestamp("us", "UTC")
MARKED = f"^[{chr(PUA_START)}-{chr(PUA_START + PUA_CHARACTER_MAX)}]"
DATETIME = chr(PUA_START + 1)
YEAR_1, YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000


class Fitter:
    """Turns what JSON had into what a column has, or raises one of `MISFIT`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def array(self, found: pa.Array, column: TColumnSchema) -> pa.Array:
        """An array that Arrow parsed as its column's type, or as the JSON type nearest to it."""
        wanted, data_type = self._rules.arrow_type(column), data_type_of(column)
        if found.null_count == len(found):
            return pa.nulls(len(found), wanted)
        if data_type == "timestamp" and (instants := self._instants(found)) is not None:
            return self._in_zone(instants, wanted)
        if data_type in ("bigint", "bool") or (data_type == "text" and pt.is_string(found.type)):
            return found.cast(wanted)
        if data_type == "double":
            return _finite(found)
        if pt.is_floating(found.type) and (data_type == "text" or not _is_exact(found)):
            raise Surprise(f"{column['name']}: nobody can tell any more which number was an integer")
        return self._distinct(found, column)

    def marked(self, found: pa.Array, column: TColumnSchema) -> pa.Array:
        """The same for an array in which dlt may have marked texts as dates, decimals or bytes."""
        if not pt.is_string(found.type) or not pc.any(pc.match_substring_regex(found, MARKED)).as_py():
            return self.array(found, column)
        if data_type_of(column) == "timestamp" and pc.all(pc.starts_with(found, DATETIME)).as_py():
            instants = self._instants(pc.utf8_slice_codeunits(found, 1))
            if instants is not None:
                return self._in_zone(instants, self._rules.arrow_type(column))
        return self._distinct(found, column, custom_pua_decode)

    def values(self, values: list[Any], name: str, columns: TTableSchemaColumns) -> dict[str, pa.Array]:
        """Python values of any kind; those that do not fit go to the variant columns that exist."""
        column, kinds = columns[name], set(map(type, values)) - {type(None)}
        exact = EXACT.get(data_type_of(column))
        if exact and kinds <= exact:
            return {name: self._typed(_floats(values) if float in exact else values, column)}
        if not exact and kinds in ({str}, {int}):
            try:
                return {name: self.array(pa.array(values), column)}
            except MISFIT:
                pass  # not all of them fit
        return self._one_by_one(values, name, columns)

    def _one_by_one(self, values: list[Any], name: str, columns: TTableSchemaColumns) -> dict[str, pa.Array]:
        fitted: dict[str, list[Any]] = {name: [None] * len(values)}
        for row, value in enumerate(values):
            if value is not None:
                place, coerced = self._placed(value, name, columns)
                fitted.setdefault(place, [None] * len(values))[row] = coerced
        return {place: self._typed(found, columns[place]) for place, found in fitted.items()}

    def _placed(self, value: Any, name: str, columns: TTableSchemaColumns) -> tuple[str, Any]:
        """The column a value goes to, by dlt's rule for variants, and the value it has there."""
        try:
            return name, self._rules.coerce(columns[name], value)
        except ValueError:
            variant = self._rules.variant(name, self._rules.data_type(value))
        if variant not in columns:
            raise Surprise(f"{variant} would be new")
        try:
            return variant, self._rules.coerce(columns[variant], value)
        except ValueError as error:
            raise Surprise(f"{variant}: {error}") from error

    def _distinct(
        self, found: pa.Array, column: TColumnSchema, read: Callable[[Any], Any] = lambda value: value
    ) -> pa.Array:
        """Each different value read and coerced once."""
        encoded = found.dictionary_encode()
        try:
            fitted = [self._rules.coerce(column, read(value)) for value in encoded.dictionary.to_pylist()]
        except ValueError as error:
            raise Surprise(f"{column['name']}: {error}") from error
        return self._typed(fitted, column).take(encoded.indices)

    def _typed(self, values: list[Any], column: TColumnSchema) -> pa.Array:
        if data_type_of(column) == "json":
            values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
        return pa.array(values, self._rules.arrow_type(column))

    def _instants(self, found: pa.Array) -> pa.Array | None:
        """Seconds since 1970, or ISO texts that all name a zone or all name none; None for anything else."""
        try:
            if pt.is_string(found.type):
                instants = self._parsed(found)
            else:
                instants = found.cast(pa.timestamp("s", "UTC")).cast(INSTANT) if pt.is_int64(found.type) else None
        except pa.ArrowInvalid:
            return None
        if instants is None:
            return None
        ends = pc.min_max(instants.cast(pa.int64())).as_py()
        return instants if ends["min"] >= YEAR_1 and ends["max"] < YEAR_10000 else None

    def _parsed(self, texts: pa.Array) -> pa.Array | None:
        if not pc.all(pc.match_substring_regex(texts, ISO)).as_py():
            return None
        cut = pc.replace_substring_regex(texts, MICROSECONDS, r"\1")
        try:
            return cut.cast(INSTANT)
        except pa.ArrowInvalid:
            return pc.assume_timezone(cut.cast(pa.timestamp("us")), self._rules.zone).cast(INSTANT)

    def _in_zone(self, instants: pa.Array, wanted: pa.DataType) -> pa.Array:
        if wanted.tz is None:
            instants = pc.local_timestamp(instants.cast(pa.timestamp("us", self._rules.zone)))
        return instants.cast(wanted)


def _finite(found: pa.Array) -> pa.Array:
    """Arrow reads NaN and the infinities, which are no JSON."""
    if not pc.all(pc.is_finite(found)).as_py():
        raise Surprise("not a number that JSON has")
    return found


def _is_exact(found: pa.Array) -> bool:
    """Whether an integer among the numbers would be the same number as a double."""
    return bool(pc.all(pc.less(pc.abs(found), float(2**53))).as_py())


def _floats(values: list[Any]) -> list[float | None]:
    return [None if value is None else float(value) for value in values]
