"""A spec under test: sites to run it at, a stand-in to run it against, and loads that tests share."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

import sandbox
from pipelines import build
from pipelines.build import load_module
from pipelines.files.declared import files_of
from pipelines.models.folder import read as models_of
from pipelines.specs import spec as specs
from sandbox.server import Sandbox, World, as_environment
from sources.kit.files import Files
from tests.postgres_server import database
from tests.warehouse import Ask
from tests.workspace import REPOSITORY, Result, Workspace

RECORDS = 120
ALWAYS = 100_000
REMOVED = "removed_at"  # of a row that the upstream has no more, and the table keeps
SNAPSHOT = "snapshot_date"  # in a key, the day on which a row was first seen like this: rows of a history
TABLES = ("table", "failures")  # of the block `files`
FIRST_SEEN = "x-first-seen"
HTML = "<!DOCTYPE html><html><body>Checking your browser.</body></html>"

Row = frozenset[tuple[str, str]]
Tables = dict[str, Counter[Row]]


class Subject:
    """One spec on one kind of warehouse; `home` is the workspace that holds it, `server` a Postgres or none.

    `sample` are the resources that stand for all of them; without it, all do.
    """

    def __init__(
        self, name: str, folder: Path, home: Path = REPOSITORY, server: str | None = None, sample: Sequence[str] = ()
    ) -> None:
        self.name, self.home, self._server = name, home, server
        self.select = tuple(f"--select={resource}" for resource in sample)
        self.env = "pg" if server else "test"
        self._folder, self._count = folder, 0
        self._shared: dict[tuple[int, ...], Site] = {}
        self._asked: dict[tuple[int, ...], int] = {}
        self._full: dict[int, Tables] = {}
        self._drifted: dict[int, tuple[Site, Result]] = {}
        self._open = ExitStack()
        self._open.callback(sandbox.__path__.__setitem__, slice(None), list(sandbox.__path__))
        self._stand_in = load_module(home, "sandbox", name)
        assert self._stand_in, f"specs/{name}.yaml: there is no sandbox/{name}.py to run it against; write it"
        self.sandbox = self._open.enter_context(Sandbox(World(records=RECORDS), folder / "upstream"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def reset(self) -> None:
        """Set the stand-in back to its first day, without faults."""
        self.sandbox.clear_faults()
        self.sandbox.move_to(1)

    @property
    def settings(self) -> dict[str, Any]:
        """What points the source at the stand-in, as dotted settings."""
        return self.sandbox.settings(self.name)

    @property
    def speaks_http(self) -> bool:
        """Whether the source asks an upstream; otherwise it reads files."""
        return hasattr(self._stand_in, "answer")

    def only_over_http(self) -> None:
        """Skip what makes no sense for a source that reads files."""
        if not self.speaks_http:
            pytest.skip(f"{self.name} reads files and asks nothing over HTTP")

    @cached_property
    def plan(self) -> dict[str, Any]:
        """What `etl plan` tells of the spec."""
        found: dict[str, Any] = self.site().etl("plan", self.name, *self.select, "--output", "json").json[0]
        return found

    @cached_property
    def derived(self) -> set[str]:
        """The models of the spec, and of the one into whose tables it loads."""
        into = specs.load(self.home, self.name).into
        return {*self.plan["models"], *(models_of(self.home, into).models if into else ())}

    @cached_property
    def keys(self) -> dict[str, list[str]]:
        """The declared key of each resource's table."""
        return {resource["table"]: resource["primary_key"] for resource in self.plan["resources"]}

    @cached_property
    def first_seen(self) -> dict[str, set[str]]:
        """The columns of each table that keep the value they were loaded with first: `x-first-seen` in the source."""
        outline = build.outline(self.home, specs.load(self.home, self.name))
        tables = [(resource.table_name, resource.compute_table_schema()) for resource in outline.resources.values()]
        return {str(name): {c for c, hints in t["columns"].items() if FIRST_SEEN in hints} for name, t in tables}

    @property
    def resources(self) -> list[str]:
        return [resource["name"] for resource in self.plan["resources"]]

    @property
    def halves(self) -> list[list[str]]:
        """The options that select half of the resources, the last ones first."""
        options = [f"--select={resource}" for resource in self.resources]
        half = len(options) // 2
        return [some for some in (options[half:], options[:half]) if some]

    @property
    def requests(self) -> int:
        """How many requests a first run takes; those of files from another host are not its."""
        self.after(1)
        return self._asked[(1,)]

    def full(self, day: int = 1) -> Tables:
        """The tables of one unbroken run on a day, into an empty warehouse."""
        if day not in self._full:
            self._full[day] = self.after(day).tables()
        return self._full[day]

    def loaded(self) -> Site:
        """A site of one's own after a first run on day 1."""
        return self.site(like=self.after(1))

    def after(self, *days: int) -> Site:
        """The site that had a run on each of these days, shared: to look at, while nothing is broken."""
        if days not in self._shared:
            site, today = self.site(like=self.after(*days[:-1]) if days[1:] else None), self.sandbox.world.day
            self.sandbox.move_to(days[-1])
            self.sandbox.forget_requests()
            self._shared[days] = site.load("--run-id", f"run-{len(days)}")
            self._asked[days] = sum(seen.path.startswith(f"/{self.name}/") for seen in self.sandbox.requests)
            self.sandbox.move_to(today)
        return self._shared[days]

    def drifted(self, after: int = 0) -> tuple[Site, Result]:
        """The site that had one run during which fields changed, and how the run ended; shared, to look at."""
        if after not in self._drifted:
            site = self.site()
            with self.broken("drift", after=after):
                self._drifted[after] = site, site.run("--output", "json")
        return self._drifted[after]

    @cached_property
    def files(self) -> dict[str, Files]:
        """What the source says of its files, by the table of their receipts."""
        spec = specs.load(self.home, self.name)
        return {block.table: files_of(self.home, spec, block, outlined=True) for block in build.moves(spec).values()}

    def site(self, like: Site | None = None, moving: bool = False) -> Site:
        """A workspace with the spec and an empty warehouse, or a copy of another site; files stay unless `moving`."""
        self._count += 1
        root = self._folder / f"site {self._count}"
        if like:
            shutil.copytree(like.workspace.root, root, symlinks=True)
        workspace = Workspace(root)
        if not like:
            workspace.link(self.name, self.home)
            if self.files and not moving:
                _leave_files(workspace.root / "specs" / f"{self.name}.yaml")
        workspace.point_at({**self.settings, f"sources.{self.name}.http.backoff_seconds": 0.01})
        return Site(self, workspace, self._database(workspace, like))

    def _database(self, workspace: Workspace, like: Site | None) -> str | None:
        if not self._server:
            return None
        url = self._open.enter_context(database(self._server, (like.url if like else None) or ""))
        workspace.postgres(url)
        return url

    @contextmanager
    def broken(self, kind: str, times: int = ALWAYS, after: int = 0, **options: Any) -> Iterator[None]:
        """Spoil what the stand-in serves, all of it from the request `after` on; files become web pages."""
        if self.speaks_http:
            self.sandbox.fault(f"^/{self.name}\\b", kind, times, after=after, **options)
        else:
            for file in sorted((self.sandbox.folder / self.name).iterdir())[after:]:
                file.write_text(HTML)
        yield
        self.sandbox.clear_faults()
        self.sandbox.move_to(self.sandbox.world.day)


class Site:
    """A workspace with one spec and a warehouse of its own."""

    def __init__(self, subject: Subject, workspace: Workspace, url: str | None) -> None:
        self.subject, self.workspace, self.url = subject, workspace, url
        self.query = Ask(workspace, url)

    def etl(self, *words: str, **variables: str) -> Result:
        """Run a command in the site's environment."""
        return self.workspace.etl(*words, "--env", self.subject.env, **variables)

    def run(self, *options: str, settings: Mapping[str, Any] | None = None) -> Result:
        """Run the spec; `settings` are dotted and below the source."""
        mine = {f"sources.{self.subject.name}.{key}": value for key, value in (settings or {}).items()}
        chosen = () if any("--select" in option for option in options) else self.subject.select
        return self.etl("run", self.subject.name, *chosen, *options, **as_environment(mine))

    def load(self, *options: str, settings: Mapping[str, Any] | None = None) -> Self:
        """Run the spec, which must end well."""
        result = self.run(*options, settings=settings)
        assert result.code == 0, f"a run that should be whole is not: {result}"
        return self

    def objects(self) -> dict[str, tuple[int, str, int]]:
        """What is stored: the size, the SHA-256 and the time of each object by its key."""
        home = self.workspace.root / "audio"
        found = {file.relative_to(home).as_posix(): file for file in sorted(home.rglob("*")) if file.is_file()}
        return {
            key: (file.stat().st_size, sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
            for key, file in found.items()
        }

    def receipts(self) -> list[tuple[Any, ...]]:
        """Key, size and SHA-256 of each stored file, as the tables have it."""
        named = {table: files.named for table, files in self.subject.files.items()}
        found = [self.query(self.select(table, (of.key, of.bytes, of.sha256))) for table, of in named.items()]
        return sorted(row for rows in found for row in rows)

    def columns(self) -> dict[str, dict[str, str]]:
        """The columns of each table with their types; those of dlt itself are left out."""
        found: dict[str, dict[str, str]] = {}
        sql = (
            "SELECT table_name, column_name, lower(data_type) FROM information_schema.columns "
            f"WHERE table_schema = '{self.subject.plan['dataset']}' ORDER BY table_name, column_name"
        )
        for table, column, kind in self.query(sql):
            if not table.startswith("_dlt_") and not column.startswith("_dlt_"):
                found.setdefault(table, {})[column] = kind
        return found

    def tables(self) -> Tables:
        """The rows of every loaded table that has some, each as its filled columns."""
        return self._rows(lambda table: table not in self.subject.derived)

    def models(self) -> Tables:
        """The rows of every model."""
        return self._rows(lambda table: table in self.subject.derived)

    def _rows(self, wanted: Callable[[str], bool]) -> Tables:
        with self.query.held():
            columns = {table: named for table, named in self.columns().items() if wanted(table)}
            found = self.query.all(self.select(table, named) for table, named in columns.items())
        return {
            table: Counter(_row(named, row) for row in rows)
            for (table, named), rows in zip(columns.items(), found, strict=True)
            if rows
        }

    def select(self, table: str, columns: Iterable[str]) -> str:
        """SQL for some columns of a table."""
        return f"SELECT {quoted(columns)} FROM {self.qualified(table)}"

    def qualified(self, table: str) -> str:
        """A table of the spec's dataset, for SQL."""
        return f'{self.subject.plan["dataset"]}."{table}"'

    def quarantined(self) -> Counter[str]:
        """Rows in quarantine by resource."""
        return Counter(resource for (resource,) in self.query("SELECT resource FROM _etl.quarantine"))


def _leave_files(spec: Path) -> None:
    """Take out of a spec what it says of files."""
    said = yaml.safe_load(spec.read_text())
    gone = {hints["files"][word] for hints in said["resources"].values() if "files" in hints for word in TABLES}
    for hints in said["resources"].values():
        hints.pop("files", None)
    for subject in said.get("subjects", {}).values():
        subject.pop("objects", None)
        subject["rows"] = [column for column in subject["rows"] if column.split(".")[0] not in gone]
    spec.unlink()
    spec.write_text(yaml.safe_dump(said))


def quoted(columns: Iterable[str]) -> str:
    """Columns as SQL names them."""
    return ", ".join(f'"{column}"' for column in columns)


def _row(columns: Iterable[str], values: tuple[Any, ...]) -> Row:
    return frozenset((c, repr(v)) for c, v in zip(columns, values, strict=True) if v is not None)


def newest(rows: Counter[Row], key: list[str]) -> Counter[Row]:
    """The rows of a history as they stand now: the newest of each key, without the day; others unchanged."""
    if SNAPSHOT not in key:
        return rows
    latest: dict[Row, tuple[str, Row]] = {}
    for row in rows:
        cells = dict(row)
        day = cells.pop(SNAPSHOT)
        held = frozenset((name, cells[name]) for name in key if name in cells)
        latest[held] = max(latest.get(held, ("", row)), (day, frozenset(cells.items())), key=lambda seen: seen[0])
    return Counter(row for _, row in latest.values())


def standing(rows: Counter[Row]) -> Counter[Row]:
    """The rows as they stood before they were removed."""
    return Counter(frozenset(cell for cell in row if cell[0] != REMOVED) for row in rows.elements())


def keyed(rows: Counter[Row], key: list[str]) -> set[Row]:
    """The keys of rows."""
    return {frozenset(cell for cell in row if cell[0] in key) for row in rows}


def without(rows: Counter[Row], columns: set[str]) -> Counter[Row]:
    """Rows as they are but for some columns."""
    return Counter(frozenset(cell for cell in row if cell[0] not in columns) for row in rows.elements())
