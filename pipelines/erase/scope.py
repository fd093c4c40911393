"""What one place of one spec needs to know to be looked through, or to be cleaned."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.build import sign_in_of
from pipelines.environment import Environment
from pipelines.erase.sought import Sought
from pipelines.specs.spec import Spec
from pipelines.specs.types import Subject

MATCH = {
    "duckdb": "regexp_matches(CAST({} AS VARCHAR), %s)",
    "postgres": "CAST({} AS text) ~ %s",
    "bigquery": "REGEXP_CONTAINS(TO_JSON_STRING({}), %s)",
}
Counts = dict[str, int]
"""How often the value was found, by place; a place without any is left out."""


@dataclass(frozen=True)
class Scope:
    """One spec of one environment under its lock; without `act` it is only looked at."""

    environment: Environment
    spec: Spec
    subject: Subject
    sought: Sought
    act: bool

    @property
    def system(self) -> str:
        """By what name people sign in to the upstream of the spec."""
        sign_in = sign_in_of(self.environment.root, self.spec)
        return str(sign_in.name) if sign_in else self.spec.name

    def matches(self, columns: list[str]) -> tuple[str, list[str]]:
        """The condition for rows of which a column holds the value, and the values of its holes."""
        match = MATCH[self.environment.kind]
        return " OR ".join(match.format(column) for column in columns), [self.sought.sql] * len(columns)
