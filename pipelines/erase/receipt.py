"""The receipt of an erasure: a row of `_etl.erasures` that says what was done, never for whom."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from pipelines.environment import Environment
from pipelines.erase.scope import Counts
from pipelines.ledger import Ledger, open_ledger


class Receipt:
    """One row, written before anything is deleted: an erasure that was cut off has one without an end."""

    def __init__(self, id: str, kind: str, environment: Environment) -> None:
        self.id, self._kind, self._environment = id, kind, environment
        self.counts: dict[str, Counts] = {}

    def begin(self, ledger: Ledger) -> None:
        """Write the row, unless it is there for an earlier spec of the same command."""
        ledger.ensure("erasures")
        if not ledger.execute("SELECT 1 FROM {erasures} WHERE id = %s", self.id):
            ledger.execute(
                "INSERT INTO {erasures} (id, kind, environment, started_at, finished_at, counts) "
                "VALUES (%s, %s, %s, %s, NULL, '{{}}')",
                self.id, self._kind, self._environment.name, datetime.now(UTC),
            )  # fmt: skip

    def note(self, ledger: Ledger, spec: str, counts: Counts) -> None:
        """Write what was deleted of one spec."""
        self.counts[spec] = counts
        ledger.execute("UPDATE {erasures} SET counts = %s WHERE id = %s", json.dumps(self.counts), self.id)

    def end(self) -> None:
        """Write that all is done; of nothing there is no receipt."""
        with open_ledger(self._environment, "erasures") as ledger:
            if any(self.counts.values()):
                sql = "UPDATE {erasures} SET finished_at = %s WHERE id = %s"
                ledger.execute(sql, datetime.now(UTC), self.id)
            else:
                ledger.execute("DELETE FROM {erasures} WHERE id = %s", self.id)
