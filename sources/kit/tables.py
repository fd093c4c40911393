"""Tables that are there before their first row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt


def table_itself() -> Iterator[Any]:
    """The table of the resource that runs, once, so that models and people find it while there is nothing to put there.

    Its columns are those that are declared.
    """
    state = dlt.current.resource_state()
    if not state.get("is_there"):
        yield dlt.mark.materialize_table_schema()
        state["is_there"] = True
