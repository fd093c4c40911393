"""Which values a column takes unharmed: dlt's own coercion, then the very Arrow type that dlt's writer will use."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa
from dlt.common.data_types import TDataType, py_type_to_sc_type
from dlt.common.data_types.type_helpers import coerce_value
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.json import json as dlt_json
from dlt.common.libs.pyarrow import get_py_arrow_datatype
from dlt.common.schema.typing import TColumnSchema
from dlt.common.time import ensure_datetime, normalize_timezone

from pipelines.rows.intake import shown

Fits = Callable[[Any], bool]
Infer = Callable[[Any], TDataType | None]
Spill = Callable[[Any], "Column"]
MAKES_A_VARIANT = (ValueError, SyntaxError)  # what else coercion raises ends the run
UNFIT = (*MAKES_A_VARIANT, TypeError, ArithmeticError, OSError)
ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?")
DAY_ZONE = re.compile(r"[+-](2[3-9]|[3-9]\d)(:?\d\d)?$")  # a zone that may be a day or more away
EASY: dict[str, frozenset[type]] = {
    "text": frozenset({str}),
    "bigint": frozenset({int}),  # pipelines.rows.storable lets no more than 64 bits pass
    "bool": frozenset({bool}),
    "json": frozenset({dict, list}),
}
EASY_UNDECLARED = {**EASY, "text": frozenset({str, int, float, bool}), "double": frozenset({int, float})}
EXACT = range(-(2**53), 2**53 + 1)  # the whole numbers that a double surely holds


class Column:
    """A column, with the type it has or will get from the first value that comes.

    `strict`: a value that does not fit is refused, except that JSON, unless it is required, leaves single values to a
    variant. Of any other column dlt makes a variant for it, the column that `spill` finds, so that only what would end
    the load or come out as another value is refused. `easy` are the types whose every value fits.
    `fixed`: the type was there before the first row.
    """

    def __init__(
        self, hints: TColumnSchema, caps: DestinationCapabilitiesContext, spill: Spill | None, *, strict: bool
    ) -> None:
        self.name, self.strict = str(hints["name"]), strict
        self.required = hints.get("nullable") is False or bool(hints.get("primary_key"))
        self.fixed = "data_type" in hints
        self._hints, self._caps = hints, caps
        self._spill = None if strict and (self.required or hints.get("data_type") != "json") else spill
        self._settle(hints)

    def learn(self, data_type: TDataType | None) -> None:
        """Take the type dlt will infer from the first value, if it has one."""
        if data_type:
            self._settle({**self._hints, "data_type": data_type})

    def strictly(self) -> Column:
        """The same column where no variant can stand in for it."""
        return Column({**self._hints, "data_type": self.data_type}, self._caps, None, strict=True)

    def forget(self) -> None:
        """Give up a type that a refused row taught."""
        self._settle(self._hints)

    def refusal(self, value: Any) -> str | None:
        """Why the value may not be loaded, or None."""
        if self._quick(value):
            return None
        if self.data_type is None or isinstance(value, (dict, list, tuple)):
            return self.refused(value) if self.strict and self.data_type != "json" else None
        if self.strict and isinstance(value, float) and not math.isfinite(value):
            return self.refused(value)  # dlt writes it as JSON, which has null for it
        try:
            self._coerced(value)
        except MAKES_A_VARIANT:
            return self._spill(value).refusal(value) if self._spill else self.refused(value)
        except UNFIT:
            return self.refused(value)
        return None if self._holds(value) else self.refused(value)

    def refused(self, value: Any) -> str:
        """The reason for a value that does not fit."""
        return f"{self.name}: {shown(value)} is not a {self._described()}"

    def stored(self, value: Any) -> Any:
        """The value as dlt would coerce it; raises one of `UNFIT`."""
        coerced = self._coerced(value)
        if self.data_type == "timestamp":
            return normalize_timezone(coerced, self.arrow.tz is not None)
        return coerced

    def _coerced(self, value: Any) -> Any:
        """The value before its time zone is settled; what fails from there on gets no variant."""
        return coerce_value(self.data_type, py_type_to_sc_type(type(value)), value)  # type: ignore[arg-type]

    def _holds(self, value: Any) -> bool:
        """Whether a value that can be coerced also comes through the writer, and as the same value."""
        if self.data_type == "date" and isinstance(value, (int, float)):
            return False  # dlt reads a number as seconds since 1970: 20240101 would be a day of that year
        if self.data_type == "date" and self.strict and type(value) is not date:
            return ensure_datetime(value).time() == time()
        if self.data_type == "bool" and isinstance(value, (int, float, Decimal)):
            return value in (0, 1)
        if self.data_type == "double" and self.strict:
            number = self.stored(value)
            return math.isfinite(number) and (not isinstance(value, int) or number == value)
        if self.data_type == "json":
            return _can_be_written(self.stored(value))
        if self.data_type == "text":
            return len(str(self.stored(value))) <= (self._hints.get("precision") or math.inf)
        try:
            pa.scalar(self.stored(value), self.arrow)
        except UNFIT:
            return False
        return True

    def _settle(self, hints: TColumnSchema) -> None:
        self.data_type = hints.get("data_type")
        self.arrow: Any = get_py_arrow_datatype(hints, self._caps, "UTC") if self.data_type else None
        sized = self.data_type in ("text", "bigint") and hints.get("precision")
        easy = EASY if self.strict else EASY_UNDECLARED
        self.easy = frozenset() if sized else easy.get(self.data_type or "", frozenset())
        self._quick = self._quick_check()

    def _quick_check(self) -> Fits:
        """A cheap check that says yes to usual values, and never to one that does not fit."""
        match self.data_type:
            case "timestamp" if self.arrow.unit != "ns":
                return _is_usual_moment if self.strict else _is_no_extreme
            case "double":
                return lambda value: (
                    value - value == 0 if type(value) is float else type(value) is int and value in EXACT
                )
            case "date":
                return _is_day
            case "decimal" | "wei":
                return _decimal_check(self.arrow.precision, self.arrow.scale)
        return lambda value: type(value) in self.easy

    def _described(self) -> str:
        precision = self._hints.get("precision")
        match self.data_type:
            case "decimal" | "wei":
                whole, scale = self.arrow.precision - self.arrow.scale, self.arrow.scale
                return f"{self.data_type} of at most {whole} digits before and {scale} after the point"
            case "bigint" if precision:
                return f"bigint of {self.arrow.bit_width} bits"
            case "text" if precision:
                return f"text of at most {precision} characters"
            case "binary" if precision:
                return f"binary of {precision} bytes"
        return str(self.data_type or "single value")


def _can_be_written(parsed: Any) -> bool:
    """Whether what dlt has parsed from a text is stored as that JSON: a text loses its quotes, null is no value."""
    try:
        dlt_json.dumpb(parsed)
    except TypeError:
        return False  # nested too deeply
    return not isinstance(parsed, (str, type(None)))


def _is_usual_moment(value: Any) -> bool:
    if type(value) is str and ISO.fullmatch(value):
        try:
            return 1 < datetime.fromisoformat(value).year < 9999
        except ValueError:
            return False
    return isinstance(value, datetime) and 1 < value.year < 9999


def _is_no_extreme(value: Any) -> bool:
    """Whether a text is far from both ends of time; whether it is a time at all does not matter."""
    if type(value) is str:
        return "0002" <= value < "9999" and not DAY_ZONE.search(value, len("2024-05-01T"))
    return isinstance(value, datetime) and 1 < value.year < 9999


def _is_day(value: Any) -> bool:
    if type(value) is str:
        try:
            date.fromisoformat(value)
        except ValueError:
            return False
        return True
    return type(value) is date


def _decimal_check(precision: int, scale: int) -> Fits:
    def fits(value: Any) -> bool:
        if type(value) not in (str, int, float, Decimal):
            return False
        try:
            number = value if type(value) is Decimal else Decimal(str(value))
        except InvalidOperation:
            return False
        if not number.is_finite():
            return False
        exponent = number.as_tuple().exponent
        return -scale <= int(exponent) and number.adjusted() < precision - scale

    return fits
