"""The values of an Arrow column as a line of JSON has them, so that each comes back as it was."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa

ONE_LINE = str.maketrans("\r\n", "  ")  # between values only: inside a text of JSON they are escaped


def form(kind: pa.DataType, is_json: bool) -> Callable[[Any], Any]:
    """What makes of a value that is not null what orjson writes: digits stay as text, bytes as base64."""
    if is_json:
        return lambda value: orjson.Fragment(value.translate(ONE_LINE))
    if pa.types.is_floating(kind):
        return lambda value: value if math.isfinite(value) else str(value)
    if pa.types.is_decimal(kind):
        return str
    if pa.types.is_binary(kind):
        return lambda value: base64.b64encode(value).decode()
    return lambda value: value
