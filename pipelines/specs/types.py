"""The words of a spec: checked texts, and the hints that `rest:` and `resources:` share."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Tag
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pipelines.errors import did_you_mean
from pipelines.specs import cron
from pipelines.specs.messages import LIST, MAPPING, TEXT, Strict, by_kind
from pipelines.window import FIRST_DAY, LAST_DAY

NO_ZONES = {"localtime", "posixrules", "posix", "right", "Factory"}  # files beside the zones, which warehouses lack
NAME = r"[a-z][a-z0-9]*(_[a-z0-9]+)*"


@dataclass(frozen=True)
class Text:
    """A text with a check that says what is wrong; `pattern` and `length` say the same to editors."""

    check: Callable[[str], str | None]
    pattern: str | None = None
    length: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        shown = {"type": "string", "pattern": self.pattern, "maxLength": self.length}
        return {key: value for key, value in shown.items() if value is not None}

    def _validate(self, value: str) -> str:
        wrong = self.check(value)
        if wrong:
            raise PydanticCustomError("text", "{wrong}", {"wrong": wrong})
        return value


def matching(pattern: str, words: str, length: int) -> Text:
    """A text that matches a pattern as a whole; `words` say what was expected."""

    def check(value: str) -> str | None:
        return None if len(value) <= length and re.fullmatch(pattern, value) else f"expected {words}"

    return Text(check, f"^{pattern}$", length)


def _time_zone(value: str) -> str | None:
    try:
        known = value.partition("/")[0] not in NO_ZONES and bool(zoneinfo.ZoneInfo(value))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    if not known:
        near = did_you_mean(value, sorted(zoneinfo.available_timezones() - NO_ZONES))
        return f'expected an IANA time zone such as "Europe/Paris"{near}'
    return None


def _day(value: str) -> str | None:
    try:
        right = bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value) and date.fromisoformat(value))
    except ValueError:
        right = False
    if not right:
        return "expected a day such as 2024-01-31"
    return None if FIRST_DAY <= value <= LAST_DAY else f"expected a day from {FIRST_DAY} to {LAST_DAY}"


def _timestamp(value: str) -> str | None:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return "expected an ISO 8601 time such as 2024-01-31T00:00:00Z"
    return None


_IDENTIFIER = "a-z, 0-9 and single _ between them, first a letter, at most {} characters"
Identifier = Annotated[str, matching(NAME, _IDENTIFIER.format(48), 48)]
Dataset = Annotated[str, matching(NAME, _IDENTIFIER.format(63), 63)]
Line = Annotated[str, matching(r"\S([^\n]*\S)?", "one line of text, at most 200 characters", 200)]
Url = Annotated[str, matching(r"https?://[^\s/?#]+\S*", "an http(s) URL", 2000)]
Filled = Annotated[str, Text(lambda value: None if value.strip() else "expected text that is not blank", r"\S")]
Cron = Annotated[str, Text(cron.mistake, r"^\S+( +\S+){4}$")]
TimeZone = Annotated[str, Text(_time_zone)]
Timestamp = Annotated[str, Text(_timestamp)]
TableColumn = Annotated[
    str,
    matching(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*", "a table and a column as loaded, e.g. games.white__username", 500),
]
Day = Annotated[str, Text(_day, r"^\d{4}-\d{2}-\d{2}$")]
Wait = Annotated[str, matching(r"\d{1,4}[hd]", "hours or days such as 12h or 2d", 5)]

Rate = Annotated[str, matching(r"\d{1,6}[KMG]?", "bytes a second such as 500K or 10M", 7)]
Positive = Annotated[int, Field(ge=1)]


def as_time(wait: str) -> timedelta:
    """A `Wait` as a time."""
    return timedelta(hours=int(wait[:-1]) * (24 if wait.endswith("d") else 1))


ColumnNames = Annotated[
    Annotated[Filled, Tag(TEXT)] | Annotated[Annotated[list[Filled], Field(min_length=1)], Tag(LIST)],
    by_kind(TEXT, LIST),
]
DataType = Literal["text", "double", "bool", "timestamp", "bigint", "binary", "json", "decimal", "wei", "date", "time"]
Mode = Literal["evolve", "freeze"]  # dlt's discard_row and discard_value lose rows without a word


class Column(Strict):
    """What is known of a column beforehand."""

    data_type: DataType | None = Field(None, description="Type of the values, in dlt's words.")
    nullable: bool | None = Field(None, description="Whether a row may lack the value; without it the row is rejected.")
    description: str | None = Field(None, description="What the values mean.")
    precision: int | None = Field(None, description="Digits of a decimal, bits of an integer, or length of a text.")
    scale: int | None = Field(None, description="Digits after the point of a decimal.")
    timezone: bool | None = Field(None, description="Whether a timestamp carries its offset.")
    primary_key: bool | None = Field(None, description="Whether the column is part of the key of its row.")
    merge_key: bool | None = Field(
        None, description="Whether the column is part of the key of a group replaced at once."
    )
    unique: bool | None = Field(None, description="Whether no two rows may share a value.")
    partition: bool | None = Field(
        None, description="Whether the table is partitioned by it, where the destination can."
    )
    cluster: bool | None = Field(None, description="Whether the table is clustered by it, where the destination can.")
    sort: bool | None = Field(None, description="Whether the table is sorted by it, where the destination can.")
    hard_delete: bool | None = Field(None, description="Whether a value here deletes the row in a merge.")
    dedup_sort: Literal["asc", "desc"] | None = Field(
        None, description="Order of the rows that share a key; the first stays."
    )


class _Merge(Strict):
    disposition: Literal["merge"] = Field(description="Always merge; append and replace need no mapping.")


class _SourceFilter(Strict):
    source_filter: Filled | None = Field(None, description="SQL condition: which of the loaded rows take part.")


class _Scope(Strict):
    destination_scope: Filled | None = Field(
        None, description="SQL condition: which rows of the destination may be deleted or retired."
    )


class _Unchanged(Strict):
    skip_unchanged_rows: bool | None = Field(
        None, description="Whether rows equal to their loaded record stay untouched."
    )
    row_version_column_name: Filled | None = Field(None, description="Column that changes whenever its row changes.")


class DeleteInsert(_Merge, _SourceFilter, _Scope):
    strategy: Literal["delete-insert"] = Field(description="Delete the rows of the loaded keys, then insert.")
    deduplicated: bool | None = Field(None, description="Whether the loaded rows are known to be free of duplicates.")


class Upsert(_Merge, _SourceFilter, _Unchanged):
    strategy: Literal["upsert"] = Field(description="Update the row of a known key, insert the others.")


class InsertOnly(_Merge):
    strategy: Literal["insert-only"] = Field(description="Insert rows of unknown keys, leave known ones alone.")


class Cdc(_Merge, _SourceFilter, _Scope, _Unchanged):
    strategy: Literal["cdc"] = Field(description="Upsert, and delete the rows that are no longer there.")


class Scd2(_Merge, _SourceFilter, _Scope):
    strategy: Literal["scd2"] = Field(description="Keep every version of a row with the time it was valid.")
    validity_column_names: list[Filled] | None = Field(
        None, min_length=2, max_length=2, description="Names of the valid-from and valid-to columns."
    )
    active_record_timestamp: Timestamp | None = Field(None, description="Valid-to of the row in force.")
    boundary_timestamp: Timestamp | None = Field(None, description="When the versions of this load begin and end.")
    row_version_column_name: Filled | None = Field(None, description="Column that holds the hash of a version.")


Strategy = Annotated[DeleteInsert | Upsert | InsertOnly | Cdc | Scd2, Field(discriminator="strategy")]
WriteDisposition = Annotated[
    Annotated[Literal["append", "replace", "merge"], Tag(TEXT)] | Annotated[Strategy, Tag(MAPPING)],
    by_kind(TEXT, MAPPING),
]


class Contract(Strict):
    """What to do with what the schema does not know yet."""

    tables: Mode | None = Field(None, description="With a new table.")
    columns: Mode | None = Field(None, description="With a new column.")
    data_type: Mode | None = Field(None, description="With a value that does not fit its column.")


SchemaContract = Annotated[Annotated[Mode, Tag(TEXT)] | Annotated[Contract, Tag(MAPPING)], by_kind(TEXT, MAPPING)]


class Per(Strict):
    """Whose rows they are, where one table holds those of several accounts."""

    columns: ColumnNames = Field(
        description="Column or columns that name the account of a row; capitals do not tell two accounts apart."
    )
    argument: Identifier = Field(description="Argument of the source that lists the accounts, e.g. `players`.")


class Periods(Strict):
    """Days or months of the spec's time zone."""

    by: Literal["day", "month"] = Field(description="What is looked at one by one.")
    column: Filled = Field(description="Declared timestamp or date that tells the day of a row.")
    since: Day = Field(description="First day there should be.")
    until: Day | None = Field(None, description="The day after the last one; without it up to now.")
    settle: Wait | None = Field(
        None, description="How long after its end a day or month may still be missing: 2d, 12h."
    )
    per: Per | None = Field(None, description="Accounts, each with its own days or months.")

    @property
    def settles_in(self) -> timedelta:
        """`settle` as a time; none where it is absent."""
        return as_time(self.settle or "0h")


class Items(Strict):
    """Pages, matches, files: whatever has a name."""

    by: Literal["item"] = Field(description="Each item by its name.")
    column: Filled = Field(description="Declared column that names the item of a row.")
    of: Annotated[str, matching(r"[a-z0-9_]+\.\w+", "resource.column, e.g. matches.match_id", 200)] | None = Field(
        None, description="Resource and column that list all items; without it, those the source has told of."
    )
    argument: Identifier | None = Field(None, description="Argument of the source that takes names of items to read.")


Coverage = Annotated[Periods | Items, Field(discriminator="by")]


class GivesUp(Strict):
    """When a file that its source refuses is given up; it may only appear after its call is listed."""

    tries: Positive = Field(5, description="In how many runs it was refused (5).")
    days: Positive = Field(3, description="How many days since it was refused first (3).")


class Moves(Strict):
    """How the files that rows name are moved into a bucket, and where it is written down."""

    by: Identifier = Field(description="Public function of the source's module that returns its `Files`.")
    table: Dataset = Field(description="Table of the receipts: one row per stored file.")
    failures: Dataset = Field(description="Table of the files that could not be stored, and why.")
    to: Identifier = Field("audio", description="Filesystem destination of the environment that takes them (`audio`).")
    transfers: Positive = Field(32, description="Files at once (32).")
    per_host: Positive | None = Field(None, description="Files at once from one host.")
    bwlimit: Rate | None = Field(None, description="Bytes a second in all, e.g. 500K or 10M.")
    tries: Positive = Field(9, description="How often a run asks for one file (9).")
    cooldown: Wait = Field(
        "1h", description="How long a failed file is left alone (1h), doubled by each further failure, up to a day."
    )
    gives_up_after: GivesUp = Field(
        GivesUp(tries=5, days=3), description="When a file that is refused (403, 404, 410) or no sound is given up."
    )
    checkpoint: Positive = Field(10_000, description="How many receipts make one load (10,000).")

    @property
    def cools_down_in(self) -> timedelta:
        """`cooldown` as a time."""
        return as_time(self.cooldown)


_APPEND_NEEDS_REASON: dict[str, Any] = {
    "if": {"properties": {"write_disposition": {"const": "append"}}, "required": ["write_disposition"]},
    "then": {"required": ["append_reason"]},
}


class ResourceHints(Strict):
    """What differs from the source's own hints of one resource."""

    model_config = ConfigDict(json_schema_extra=_APPEND_NEEDS_REASON)

    write_disposition: WriteDisposition | None = Field(
        None,
        description="How rows reach the table: `merge` by key, `replace` all, `append` with a reason.",
    )
    primary_key: ColumnNames | None = Field(None, description="Column or columns that tell rows apart.")
    merge_key: ColumnNames | None = Field(None, description="Column or columns of a group that is replaced at once.")
    columns: dict[Filled, Column] | None = Field(None, description="Columns by name, with what is known of them.")
    schema_contract: SchemaContract | None = Field(
        None, description="What to do with new tables, new columns and values that do not fit."
    )
    enabled: bool = Field(True, description="Whether a run that selects nothing reads the resource.")
    coverage: Coverage | None = Field(
        None, description="What the table should have from when on, for `etl coverage` to tell what is missing."
    )
    files: Moves | None = Field(None, description="Where the files go that the rows of the table name.")
    append_reason: Line | None = Field(None, description="Why rows are appended and never merged; append needs it.")


class Subject(Strict):
    """Where the tables of a spec hold one kind of person or device; a row of a list counts as a table's."""

    rows: Annotated[list[TableColumn], Field(min_length=1)] = Field(
        description="Columns that name it; `etl erase` deletes such a row with its lists."
    )
    cells: list[TableColumn] = Field(
        default_factory=list, description="Columns that may name it in a row about others; the cell is overwritten."
    )
    objects: list[TableColumn] = Field(
        default_factory=list, description="Columns with the key of an object in `audio`, deleted before its row is."
    )
    files: list[TableColumn] = Field(
        default_factory=list, description="Columns with the file a row was read from; who still has the value is told."
    )
    known_by: list[TableColumn] = Field(
        default_factory=list,
        description="Columns with the name that other rows know it by: `etl erase` takes that first, and refuses "
        "another one of the same row, since nobody could tell afterwards whose the other rows are.",
    )


class Subjects(Strict):
    """Who the rows of a spec are about, by kind."""

    phone: Subject | None = Field(None, description="Phone numbers; only digits are compared, without a leading 00.")
    device: Subject | None = Field(None, description="Devices, exactly as written.")
    account: Subject | None = Field(None, description="Accounts, in upper or lower case.")
    player: Subject | None = Field(None, description="Players, in upper or lower case.")
