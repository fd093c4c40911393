"""Tables that are there before their first row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt

from sources.kit.destination import is_loaded


def table_itself() -> Iterator[Any]:
    """The table of the resource that runs, where it is not there: models and people find it while it has no rows.

    Its columns are those that are declared.
    """
    if not is_loaded(dlt.current.resource_name()):
        yield dlt.mark.materialize_table_schema()
