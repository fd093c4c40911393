"""What `checks:` may say: promises about loaded tables, each one line of YAML.

Tables and columns are named as they stand in the warehouse; `games__tags` is the table of a list in `games`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from pipelines.specs.messages import BOOLEAN, LIST, NUMBER, TEXT, Strict, by_kind
from pipelines.specs.types import Filled, Text, matching

WORD = r"[A-Za-z_][A-Za-z0-9_]*"
UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
SEVERITY = "What a failure does: `error` (without it) ends the run with 4, `warn` only tells."
TOLD_APART = (
    "Name in reports and for `--select`; without it made of the kind, the table and the columns, "
    "with a number where several checks would share it."
)


def _of_one_table(columns: str | list[str]) -> str | list[str]:
    tables = sorted({column.split(".")[0] for column in columns}) if isinstance(columns, list) else []
    if len(tables) > 1:
        raise _refused(f"expected columns of one table, got columns of {' and '.join(tables)}")
    return columns


def _refused(wrong: str) -> PydanticCustomError:
    return PydanticCustomError("text", "{wrong}", {"wrong": wrong})


def _sql_file(path: str) -> str | None:
    inside = path.endswith(".sql") and not path.startswith("/") and ".." not in path.split("/")
    return None if inside else "expected the path of an .sql file of the workspace, such as models/chess/checks/a.sql"


Table = Annotated[str, matching(WORD, "a table as the warehouse names it", 200)]
ColumnOf = Annotated[str, matching(rf"{WORD}\.{WORD}", "a column as table.column", 400)]
ColumnsOf = Annotated[
    Annotated[ColumnOf, Tag(TEXT)] | Annotated[Annotated[list[ColumnOf], Field(min_length=1)], Tag(LIST)],
    by_kind(TEXT, LIST),
    AfterValidator(_of_one_table),
]
Number = Annotated[int | float, WithJsonSchema({"type": "number"}), Tag(NUMBER)]
Bound = Annotated[Annotated[Filled, Tag(TEXT)] | Number, by_kind(TEXT, NUMBER)]
Value = Annotated[Annotated[str, Tag(TEXT)] | Number | Annotated[bool, Tag(BOOLEAN)], by_kind(TEXT, NUMBER, BOOLEAN)]
Share = Annotated[str, matching(r"(100|[1-9]?[0-9])%", "a share such as 10%", 4)]
Age = Annotated[str, matching(r"[1-9][0-9]{0,4}[mhdw]", "a time such as 90m, 12h, 30d or 2w", 6)]
SqlFile = Annotated[str, Text(_sql_file, r"\.sql$")]


class _Check(Strict):
    """What all checks share."""

    kind: ClassVar[str]

    name: Annotated[str, matching(WORD, "a name of letters, digits and _", 200)] | None = Field(
        None, description=TOLD_APART
    )
    severity: Literal["warn", "error"] = Field("error", description=SEVERITY)

    @property
    def subject(self) -> str | list[str]:
        """What stands beside the kind."""
        given: str | list[str] = getattr(self, self.kind)
        return given

    @property
    def columns(self) -> list[str]:
        """The columns it looks at, without their table."""
        subjects = [self.subject] if isinstance(self.subject, str) else self.subject
        return [subject.split(".")[1] for subject in subjects if "." in subject]

    @property
    def table(self) -> str:
        """The table it looks at; of a file there is none."""
        return ([self.subject] if isinstance(self.subject, str) else self.subject)[0].split(".")[0]

    @property
    def title(self) -> str:
        """The name it goes by."""
        return self.name or "_".join((self.kind, self.table, *self.columns))

    def mentions(self) -> Iterator[tuple[str, str, list[str]]]:
        """Each key that names a table, with the table and its columns."""
        yield self.kind, self.table, self.columns


class _OfRows(_Check):
    where: Filled | None = Field(
        None, description="SQL condition: only these rows count, e.g. `rated AND time_class <> 'daily'`."
    )


class NotNull(_OfRows):
    """Every row has a value."""

    kind = "not_null"
    not_null: ColumnsOf = Field(description="Column or columns of one table that every row fills.")


class Unique(_OfRows):
    """No two rows share a value; rows without one are left out."""

    kind = "unique"
    unique: ColumnsOf = Field(description="Column, or columns of one table that together tell rows apart.")


class Relationship(_OfRows):
    """Every value has its row in another table."""

    kind = "relationship"
    relationship: ColumnOf = Field(description="Column whose values, where there is one, are looked up.")
    to: ColumnOf = Field(description="Column that must hold each of them.")

    def mentions(self) -> Iterator[tuple[str, str, list[str]]]:
        yield from super().mentions()
        table, column = self.to.split(".")
        yield "to", table, [column]


class Accepted(_OfRows):
    """Every value is one of a list."""

    kind = "accepted"
    accepted: ColumnOf = Field(description="Column whose values, where there is one, are compared.")
    values: list[Value] = Field(min_length=1, description="The values it may have.")


class Range(_OfRows):
    """Every value lies between two others."""

    kind = "range"
    range: ColumnOf = Field(description="Column whose values, where there is one, are compared.")
    min: Bound | None = Field(None, description="Smallest value it may have: a number, or a date or time as text.")
    max: Bound | None = Field(None, description="Largest value it may have.")

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        if self.min is None and self.max is None:
            raise _refused("expected min, max or both")
        return self


class RowCount(_OfRows):
    """The table has as many rows as it should; not judged in a run of a part."""

    kind = "row_count"
    row_count: Table = Field(description="Table whose rows are counted.")
    min: Annotated[int, Field(ge=0)] | None = Field(None, description="Fewest rows it may have.")
    max: Annotated[int, Field(ge=0)] | None = Field(None, description="Most rows it may have.")
    drop_at_most: Share | None = Field(None, description="By how much it may have shrunk since the last run.")

    @model_validator(mode="after")
    def _bounded(self) -> RowCount:
        if self.min is None and self.max is None and self.drop_at_most is None:
            raise _refused("expected min, max or drop_at_most")
        return self


class Fresh(_OfRows):
    """The newest row is young enough; not judged in a run of a part."""

    kind = "fresh"
    fresh: ColumnOf = Field(description="Column with the time or the date of each row.")
    within: Age = Field(description="How old the newest may be: 90m, 12h, 30d, 2w.")

    @property
    def seconds(self) -> int:
        """`within` in seconds."""
        return int(self.within[:-1]) * UNITS[self.within[-1]]


class Sql(_Check):
    """A query of one's own finds nothing."""

    kind = "sql"
    sql: SqlFile = Field(
        description="A SELECT of the rows that are wrong, in DuckDB's dialect; by its path from the root of the "
        "workspace, e.g. `models/chess/checks/odd.sql`."
    )

    @property
    def columns(self) -> list[str]:
        return []

    @property
    def title(self) -> str:
        return self.name or self.sql.rsplit("/", 1)[-1].removesuffix(".sql")

    def mentions(self) -> Iterator[tuple[str, str, list[str]]]:
        yield from ()


KINDS = [kind.kind for kind in (NotNull, Unique, Relationship, Accepted, Range, RowCount, Fresh, Sql)]


def _kind_of(value: Any) -> str | None:
    """The kind of a check by the key that names it; in brackets, lest it be taken for a step into the file."""
    keys = [value.kind] if isinstance(value, _Check) else value if isinstance(value, dict) else ()
    return next((f"<{kind}>" for kind in KINDS if kind in keys), None)


Check = Annotated[
    Annotated[NotNull, Tag("<not_null>")]
    | Annotated[Unique, Tag("<unique>")]
    | Annotated[Relationship, Tag("<relationship>")]
    | Annotated[Accepted, Tag("<accepted>")]
    | Annotated[Range, Tag("<range>")]
    | Annotated[RowCount, Tag("<row_count>")]
    | Annotated[Fresh, Tag("<fresh>")]
    | Annotated[Sql, Tag("<sql>")],
    Discriminator(
        _kind_of,
        custom_error_type="no_check",
        custom_error_message=f"expected a mapping with one of: {', '.join(KINDS)}",
    ),
]


def repeated(checks: Sequence[_Check], before: Iterable[_Check] = ()) -> Iterator[int]:
    """The positions of checks that stand there already, or under whose name another one does."""
    seen = list(before)
    for position, check in enumerate(checks):
        if any(check == other or (check.name and check.name == other.name) for other in seen):
            yield position
        seen.append(check)


def told_apart(checks: Sequence[Check]) -> list[Check]:
    """The checks, each with a name of its own: a title that another check has before gets a number."""
    taken = {check.name for check in checks if check.name}
    named = []
    for check in checks:
        title = check.name or next(title for title in _numbered(check.title) if title not in taken)
        taken.add(title)
        named.append(check.model_copy(update={"name": title}))
    return named


def _numbered(title: str) -> Iterator[str]:
    yield title
    yield from (f"{title}_{number}" for number in count(2))
