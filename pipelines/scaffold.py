"""`etl new NAME`: a spec, a source and a sandbox stand-in that pass the conformance suite as they are."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from pipelines import atomic
from pipelines.errors import Exit, SpecError, UsageError
from pipelines.printing import Printer
from pipelines.specs import spec as specs

SPEC = """\
# yaml-language-server: $$schema=spec.schema.json
name: $name
about: Items of $name, one row each.
docs: https://api.example.org/docs
schedule: "23 * * * *"
python: {}
"""

SOURCE = '''\
"""$title: items, newest change last.

Docs:   https://api.example.org/docs
Auth:   none.
Limits: unknown, so requests go one after the other.
Cursor: `updated_at`; the moment last seen is asked again, and merging makes that harmless.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.extract import DltResource

from sources.kit.http import open_session

API = "https://api.example.org/v1"
COLUMNS: Any = {
    "id": {"data_type": "bigint", "nullable": False},
    "name": {"data_type": "text"},
    "updated_at": {"data_type": "timestamp"},
}


@dlt.source(name="$name", section="$name", max_table_nesting=1)
def $name(base_url: str = API) -> Iterator[DltResource]:
    """All resources of $name."""
    yield items(base_url)


@dlt.resource(write_disposition="merge", primary_key="id", columns=COLUMNS)
def items(
    base_url: str,
    updated_at: dlt.sources.incremental[str] = dlt.sources.incremental(
        "updated_at", initial_value="1970-01-01T00:00:00Z"
    ),
) -> Iterator[list[dict[str, Any]]]:
    """Pages of `{id, name, updated_at}` from `GET /items?since=&page=`."""
    page: int | None = 1
    with open_session("$name") as session:
        while page:
            answer = session.json(f"{base_url}/items", params={"since": updated_at.start_value, "page": page})
            yield answer["items"]
            page = answer.get("next_page")
'''

STAND_IN = '''\
"""A stand-in of $name: items in pages, one more each day and one of them changed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.server import Reply, Request, World

BEGIN = datetime(2024, 3, 1, tzinfo=UTC)
PAGE = 50


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """What points the source here."""
    return {"sources.$name.base_url": base_url}


def answer(request: Request, world: World) -> Reply:
    """`GET /items?since=&page=`: items changed since then, oldest change first."""
    if request.path != "/items":
        return Reply(404, {"message": "not found"})
    since = request.query.get("since", [""])[0]
    page = int(request.query.get("page", ["1"])[0])
    found = [item for item in _items(world) if item["updated_at"] >= since]
    rows = found[(page - 1) * PAGE : page * PAGE]
    return Reply(200, {"items": rows, "next_page": page + 1 if len(found) > page * PAGE else None})


def _items(world: World) -> list[dict[str, Any]]:
    draw = random.Random(world.seed)
    days = range(1, world.records + world.day)
    items = [{"id": i, "name": f"item {draw.randrange(10**6)}", "updated_at": _time(i)} for i in days]
    if world.day > 1:
        items[0] |= {"name": f"changed on day {world.day}", "updated_at": _time(world.records + world.day)}
    return sorted(items, key=lambda item: item["updated_at"])


def _time(minute: int) -> str:
    return (BEGIN + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")
'''

NAME = r"(?=.{1,48}$)[a-z][a-z0-9]*(_[a-z0-9]+)*"
FILES = {"specs/$name.yaml": SPEC, "sources/$name.py": SOURCE, "sandbox/$name.py": STAND_IN}


def create(root: Path, name: str) -> Exit:
    """Write the three files; refuses a name that is taken or that a spec cannot have."""
    if keyword.iskeyword(name) or name in specs.RESERVED:
        raise UsageError(f"etl new {name}: the word is taken by Python or by the program; choose another name")
    if not re.fullmatch(NAME, name):
        raise UsageError(f"etl new {name}: a name is a-z, 0-9 and single _ between them, first a letter")
    words = {"name": name, "title": name.replace("_", " ").capitalize()}
    paths = {root / Template(path).substitute(words): text for path, text in FILES.items()}
    taken = [path for path in paths if path.exists() or path.with_suffix("").exists()]
    if taken:
        raise UsageError(f"etl new {name}: {taken[0].relative_to(root)} is there already; choose another name")
    for path, text in paths.items():
        atomic.write_text(path, Template(text).substitute(words))
    problems = specs.validate(root, [name])
    if problems:
        raise SpecError(problems)
    Printer("text").lines(
        [*(f"wrote {path.relative_to(root)}" for path in paths), f"now: make test, and etl demo runs {name} too"]
    )
    return Exit.OK
