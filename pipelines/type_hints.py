"""dlt reads the types of its typed dictionaries anew for each column that it validates; here they are read once.

Of a spec with forty tables that is a quarter of a run; dlt's own source calls for such a cache.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

from dlt.common import validation

NAME = "get_type_hints"
STOCK = getattr(validation, NAME)


def remember() -> None:
    """Let dlt know the types of a typed dictionary that it has read before."""
    setattr(validation, NAME, lambda spec, globalns: _hints(spec))


@cache
def _hints(spec: type) -> dict[str, Any]:
    module = sys.modules.get(spec.__module__)
    hints: dict[str, Any] = STOCK(spec, globalns=module.__dict__ if module else None)
    return hints
