"""Environments: one table of `destinations.toml` each, chosen by `--env`; no dlt is imported here."""

from __future__ import annotations

import getpass
import hashlib
import re
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import STATUS, Problem, SettingError, SpecError, UsageError, did_you_mean

FILE = "destinations.toml"
SETTINGS_DIR = ".dlt"
WAREHOUSE = "warehouse"
LANDING = "landing"
TABLES = (WAREHOUSE, LANDING, "audio")
SCALARS = {
    "folder": str,  # where relative paths start: a path, or "temporary"
    "protected": bool,  # ask before a destructive act
    "dataset_name_layout": str,  # e.g. "dp_%s"
    "keep_raw": bool,  # a run fetches raw files into landing and loads those
    "raw_compression": str,  # of raw files: "zstd" or "none"
    "keep_audio": bool,  # a run leaves the audio it moved in its folder, too
    "tokens": str,  # where sign-ins are kept
    "sandbox": bool,  # its runs ask the sandbox, never an upstream
}
TOKENS = ("file", "environment", "destination")
NOTIFY = "notify"
STATUSES = tuple(dict.fromkeys(STATUS.values()))
NOTIFY_ON = ("failed", "partial", "checks_failed", "sign_in")  # what no later run mends by itself
RETENTION = "retention"
DAYS = (
    "runs_days",
    "quarantine_days",
    "archive_days",
    "rejected_days",
)  # of [<env>.retention]: after how many days what is deleted
RAW_DAYS = DAYS[2:]
MOST_DAYS = 36500
VIEWS = "views"
OTHER_TABLES = (NOTIFY, RETENTION, VIEWS)  # those that are no destination
DUCKDB_FILE = "warehouse.duckdb"
SECRET = "looks like a secret; move it to .dlt/secrets.toml or the environment"
_WORDS = {str: "text", bool: "true or false"}
_LAYOUT = re.compile(r"[a-z0-9_]*%s[a-z0-9_]*")
_VIEW = re.compile(rf"[a-z_][a-z0-9_]*\.{_LAYOUT.pattern}")
SECRET_NAME = r"password|passwd|secret|token|private_key|api_key|application_key|access_key|webhook_url|slack_url"
_SECRET_KEY = re.compile(SECRET_NAME, re.I)
_SECRET_URL = re.compile(r"://[^/@\s]*:[^/@\s]+@")


@dataclass(frozen=True)
class Environment:
    """One environment of one workspace; every path in it is absolute."""

    name: str
    root: Path
    folder: Path
    table: dict[str, Any]

    @property
    def protected(self) -> bool:
        return bool(self.table.get("protected", False))

    @property
    def keeps_raw(self) -> bool:
        return bool(self.table.get("keep_raw", False))

    @property
    def packs_raw(self) -> bool:
        return bool(self.table.get("raw_compression", "zstd") == "zstd")

    @property
    def keeps_audio(self) -> bool:
        return bool(self.table.get("keep_audio", False))

    @property
    def layout(self) -> str:
        return str(self.table.get("dataset_name_layout", "%s"))

    @property
    def tokens(self) -> str:
        """Where tokens are kept: one of `TOKENS`."""
        return str(self.table.get("tokens", TOKENS[0]))

    @property
    def warehouse(self) -> dict[str, Any]:
        warehouse: dict[str, Any] = self.table[WAREHOUSE]
        return warehouse

    @property
    def kind(self) -> str:
        """The destination's type as dlt names it: duckdb, postgres or bigquery."""
        return str(self.warehouse["destination_type"])

    @property
    def buckets(self) -> list[str]:
        """The names of the filesystem destinations, e.g. `landing` and `audio`."""
        return [name for name, value in self.destinations().items() if value["destination_type"] == "filesystem"]

    @property
    def retention(self) -> dict[str, int]:
        """For how many days what is kept, by setting; what is not set is kept for good."""
        return dict(self.table.get(RETENTION, {}))

    @property
    def views(self) -> dict[str, str]:
        """By spec what its tables are called once more, as views: `dataset.name_%s`."""
        return dict(self.table.get(VIEWS, {}))

    def view(self, spec: str, table: str) -> tuple[str, str]:
        """The dataset and the name of the view of a table."""
        dataset, _, form = self.views[spec].partition(".")
        return dataset, form % table

    @property
    def is_sandbox(self) -> bool:
        """Whether runs ask the sandbox in the place of every upstream."""
        return bool(self.table.get("sandbox"))

    @property
    def notify_on(self) -> list[str]:
        """How a run ends that somebody is told of."""
        return list(self.table.get(NOTIFY, {}).get("on", NOTIFY_ON))

    @property
    def state_dir(self) -> Path:
        """Where dlt keeps its working folders, one per pipeline."""
        home = self.root / SETTINGS_DIR if self.folder == self.root else self.folder
        return home / "state" / self.name

    def spools(self, spec: str) -> Path:
        """Where rows of a spec that were set aside wait until they are in quarantine."""
        return self.state_dir / "quarantine" / spec

    @property
    def runs_dir(self) -> Path:
        return self.root / "runs"

    @property
    def duckdb_file(self) -> Path | None:
        """The DuckDB file of the warehouse, when it is one."""
        if self.kind != "duckdb":
            return None
        return Path(self.destinations()[WAREHOUSE]["credentials"])

    def dataset(self, name: str) -> str:
        """The dataset of a spec after the environment's naming layout."""
        return self.layout % name

    def destinations(self) -> dict[str, dict[str, Any]]:
        """The named destinations with their relative paths made absolute."""
        tables = {k: value for k, value in self.table.items() if isinstance(value, dict) and k not in OTHER_TABLES}
        return {name: self._absolute(value) for name, value in tables.items()}

    def _absolute(self, table: dict[str, Any]) -> dict[str, Any]:
        match table["destination_type"]:
            case "duckdb":
                return {**table, "credentials": str(self.folder / table.get("credentials", DUCKDB_FILE))}
            case "filesystem" if "://" not in table["bucket_url"]:
                return {**table, "bucket_url": str(self.folder / table["bucket_url"])}
            case _:
                return table


def find_root(start: Path) -> Path:
    """The folder at or above `start` that holds `destinations.toml`."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    raise UsageError(f"{start}: no {FILE} here or above; go to the workspace, or name it with --root or ETL_ROOT")


def names(root: Path) -> list[str]:
    """The environments a workspace has, in file order."""
    return [name for name, value in _read(root).items() if isinstance(value, dict)]


def kinds(root: Path) -> set[str]:
    """The kinds of warehouse that the environments of a workspace use."""
    tables = [value.get(WAREHOUSE) for value in _read(root).values() if isinstance(value, dict)]
    return {
        str(table["destination_type"]) for table in tables if isinstance(table, dict) and "destination_type" in table
    }


def all_buckets(root: Path) -> set[str]:
    """The names of the filesystem destinations that some environment of a workspace has."""
    tables = [value for value in _read(root).values() if isinstance(value, dict)]
    return {
        name
        for table in tables
        for name, value in table.items()
        if isinstance(value, dict) and value.get("destination_type") == "filesystem"
    }


def load(root: Path, name: str) -> Environment:
    """The environment called `name`; SettingError when it is unknown, SpecError when its table is wrong."""
    root = root.resolve()
    document = _read(root)
    table = document.get(name)
    if not isinstance(table, dict):
        known = names(root)
        raise SettingError(f"{FILE}: no [{name}]{did_you_mean(name, known)}; it has: {', '.join(known) or 'none'}")
    problems = _problems(root, name, table)
    if problems:
        raise SpecError(problems)
    return Environment(name=name, root=root, folder=_folder(root, table), table=table)


def read_toml(path: Path, shown: str) -> dict[str, Any]:
    """A TOML file as a dict, empty when the file is absent; SettingError says where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{shown}: not TOML: {error}; mend that line") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{shown}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise SettingError(f"{shown}: {error.strerror}; make it a readable file") from error


def refuse_secrets(document: dict[str, Any], shown: str, at: tuple[str, ...] = ()) -> None:
    """Stop at the first value that looks like a secret, because the file is meant for git."""
    for key, value in document.items():
        here = (*at, key)
        if isinstance(value, dict):
            refuse_secrets(value, shown, here)
        elif looks_secret(key, value):
            raise SettingError(_secret_message(shown, here))


def looks_secret(key: str, value: Any) -> bool:
    """Whether a key is named like a secret, or a value is a URL with a password in it."""
    if isinstance(value, list):
        return bool(_SECRET_KEY.search(key)) or any(looks_secret("", item) for item in value)
    return bool(_SECRET_KEY.search(key)) or (isinstance(value, str) and bool(_SECRET_URL.search(value)))


def _secret_message(shown: str, path: tuple[str, ...]) -> str:
    return f"{shown}: {'.'.join(path)} {SECRET}"


def _read(root: Path) -> dict[str, Any]:
    return read_toml(root / FILE, FILE)


def _folder(root: Path, table: dict[str, Any]) -> Path:
    folder = str(table.get("folder", "."))
    if folder != "temporary":
        return (root / folder).resolve()
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()).resolve() / f"etl-{getpass.getuser()}-{digest}"


def _problems(root: Path, name: str, table: dict[str, Any]) -> list[Problem]:
    """Every mistake of one environment, each at its line."""
    found: list[tuple[tuple[str, ...], str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _JUDGES.get(key, _destination_problems)((key,), value)
        elif key in (*TABLES, *OTHER_TABLES):
            found.append(((key,), f"expected a table [{name}.{key}], got {value!r}"))
        elif key not in SCALARS:
            found.append(((key,), f"unknown key{did_you_mean(key, [*SCALARS, *TABLES, *OTHER_TABLES])}"))
        elif not isinstance(value, SCALARS[key]):
            found.append(((key,), f"expected {_WORDS[SCALARS[key]]}, got {value!r}"))
    layout = table.get("dataset_name_layout", "%s")
    if isinstance(layout, str) and not _LAYOUT.fullmatch(layout):
        found.append((("dataset_name_layout",), "expected one %s among a-z, 0-9 and _, e.g. 'dp_%s'"))
    found += _raw_problems(name, table)
    found += _of_no_spec(root, table.get(VIEWS))
    tokens = table.get("tokens", TOKENS[0])
    if isinstance(tokens, str) and tokens not in TOKENS:
        near = did_you_mean(tokens, TOKENS)
        found.append((("tokens",), f"{tokens!r} is no place for tokens{near}; use one of: {', '.join(TOKENS)}"))
    if WAREHOUSE not in table:
        found.append(((), f"no [{name}.{WAREHOUSE}]; add it with destination_type = 'duckdb'"))
    return [problem(root, (name, *path), message) for path, message in found]


def _raw_problems(name: str, table: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    if table.get("raw_compression", "zstd") not in ("zstd", "none"):
        yield ("raw_compression",), "expected 'zstd' or 'none'"
    for path in _of_raw_files(table) if LANDING not in table else ():
        yield path, f"raw files are kept in [{name}.{LANDING}]; add it with bucket_url"


def _of_raw_files(table: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """The settings that need a landing."""
    if table.get("keep_raw") is True:
        yield ("keep_raw",)
    kept = table.get(RETENTION)
    yield from ((RETENTION, key) for key in RAW_DAYS if isinstance(kept, dict) and key in kept)


def _destination_problems(path: tuple[str, ...], table: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    kinds = ["duckdb", "postgres", "bigquery"] if path == (WAREHOUSE,) else ["filesystem"]
    found = [((*path, *where), SECRET) for where in _secrets(table)]
    kind = table.get("destination_type")
    if kind is None:
        found.append((path, f"destination_type is missing; use one of: {', '.join(kinds)}"))
    elif kind not in kinds:
        near = did_you_mean(str(kind), kinds)
        found.append(((*path, "destination_type"), f"{kind!r} cannot stand here{near}; use one of: {', '.join(kinds)}"))
    elif kind == "filesystem" and "bucket_url" not in table:
        found.append((path, "bucket_url is missing; name a folder or a bucket, e.g. 'gs://bucket/prefix'"))
    elif kind == "filesystem" and not isinstance(table["bucket_url"], str):
        found.append(((*path, "bucket_url"), f"expected text, got {table['bucket_url']!r}"))
    if kind == "duckdb" and not _names_file(table.get("credentials", DUCKDB_FILE)):
        found.append(((*path, "credentials"), f"expected the path of a file, e.g. '{DUCKDB_FILE}'"))
    return found


def _notify_problems(path: tuple[str, ...], table: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    found = [((*path, *where), SECRET) for where in _secrets(table)]
    for key, value in table.items():
        if key == "on" and not (isinstance(value, list) and all(each in STATUSES for each in value)):
            found.append(((*path, key), f"expected a list of: {', '.join(STATUSES)}; got {value!r}"))
        elif key != "on" and not looks_secret(key, value):
            found.append(((*path, key), f"unknown key{did_you_mean(key, ['on'])}; it has: on"))
    return found


def _retention_problems(path: tuple[str, ...], table: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    found = [((*path, key), f"unknown key{did_you_mean(key, DAYS)}") for key in table if key not in DAYS]
    for key, days in table.items():
        if key in DAYS and not (type(days) is int and 1 <= days <= MOST_DAYS):
            found.append(((*path, key), f"expected a whole number of days, 1 to {MOST_DAYS}, got {days!r}"))
    return found


def _views_problems(path: tuple[str, ...], table: dict[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    example = "expected a dataset, a dot and a name with one %s for that of the table, e.g. 'dp_lake_dev.chess__%s'"
    wrong = {key: value for key, value in table.items() if not (isinstance(value, str) and _VIEW.fullmatch(value))}
    return [((*path, key), f"{example}; got {value!r}") for key, value in wrong.items()]


def _of_no_spec(root: Path, views: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """The names in `views` that no spec has."""
    known = sorted(file.stem for file in (root / "specs").glob("*.yaml"))
    for name in views if isinstance(views, dict) else ():
        if name not in known:
            yield (VIEWS, name), f"there is no spec of that name{did_you_mean(name, known)}"


_JUDGES = {NOTIFY: _notify_problems, RETENTION: _retention_problems, VIEWS: _views_problems}


def _names_file(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "://" not in value and not value.startswith(("md:", ":"))


def _secrets(table: dict[str, Any], at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _secrets(value, (*at, key))
        elif looks_secret(key, value):
            found.append((*at, key))
    return found


def problem(root: Path, path: tuple[str, ...], message: str) -> Problem:
    """A mistake in destinations.toml at the line of a key."""
    line = _line_of((root / FILE).read_text(encoding="utf-8").splitlines(), path)
    return Problem(FILE, line, 1, ".".join(path), message)


def _line_of(lines: list[str], path: tuple[str, ...]) -> int:
    """The line of a key, or of the nearest table header above it; TOML keeps no positions for us."""
    best, table = 1, ""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("["):
            table = text.split("]")[0].lstrip("[").strip()
            if ".".join(path).startswith(table):
                best = number
        elif ".".join(path) == f"{table}.{text.split('=')[0].strip()}":
            return number
    return best
