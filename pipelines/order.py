"""What the command line asks of a run: checked, made into settings, and told again as a command."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines import build, configuration
from pipelines.environment import Environment, looks_secret
from pipelines.errors import UsageError, did_you_mean
from pipelines.selection import own, refuse_strange
from pipelines.specs.spec import Spec
from pipelines.tokens.stores import Store, put_in_place
from pipelines.window import iso, parse

RATES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
FULL_REFRESH = "full-refresh"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Order:
    """What the command line asked of a run; every field acts."""

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    full_refresh: bool = False
    mode: str = "incr"
    run_id: str | None = None
    max_retry: int | None = None
    fail_fast: bool = False
    wait_seconds: float = 0
    values: tuple[str, ...] = ()
    overrides: dict[str, Any] = field(default_factory=dict)
    verb: str = "run"
    to: str | None = None
    drop_direct: bool = False
    only: tuple[str, ...] = ()
    failed: bool = False
    skip_failed: bool = False
    transfers: int | None = None
    bwlimit: str | None = None
    next_files: int | None = None

    @property
    def of_files(self) -> list[str]:
        """The options it has that act on files alone."""
        given = {
            "--only": self.only, "--failed": self.failed, "--skip-failed": self.skip_failed,
            "--transfers": self.transfers, "--bwlimit": self.bwlimit,
        }  # fmt: skip
        return [option for option, value in given.items() if value]

    @property
    def manner(self) -> str:
        """What `_etl.runs` calls it: its mode, unless it replaces whole tables."""
        return FULL_REFRESH if self.full_refresh else self.mode

    @property
    def freezes_cursor(self) -> bool:
        """Whether the run must leave the cursor where it is."""
        return bool(self.limit is not None or self.since or self.until or self.mode == "backfill")


def check(order: Order, specs: Sequence[Spec]) -> None:
    """Refuse what cannot be meant, before anything is touched."""
    if order.limit is not None and order.limit < 1:
        raise UsageError(f"--limit {order.limit}: must be at least 1")
    if order.full_refresh and order.freezes_cursor:
        raise UsageError(
            "--full-refresh replaces whole tables; leave out --limit, --since, --until and --mode backfill"
        )
    _refuse_shared(order, specs)
    if order.max_retry is not None and order.max_retry < 0:
        raise UsageError(f"--max-retry {order.max_retry}: must be 0 or more")
    if order.transfers is not None and order.transfers < 1:
        raise UsageError(f"--transfers {order.transfers}: must be at least 1")
    if order.bwlimit is not None:
        bytes_per_second(order.bwlimit)
    if order.of_files and not any(build.moves(spec) for spec in specs):
        named = ", ".join(spec.name for spec in specs)
        raise UsageError(f"{', '.join(order.of_files)}: {named} moves no files; leave it out")
    if order.failed and order.skip_failed:
        raise UsageError("--failed and --skip-failed: give one of them")
    if order.run_id is not None and (len(specs) > 1 or not RUN_ID.fullmatch(order.run_id)):
        raise UsageError(f"--run-id {order.run_id}: names one run of one spec, with letters, digits and _ . - only")


def _refuse_shared(order: Order, specs: Sequence[Spec]) -> None:
    """Tables that another spec fills, too, are not dropped by the way."""
    for spec in specs:
        if spec.into and (order.full_refresh or order.verb == "rebuild"):
            how = "rebuild" if order.verb == "rebuild" else "--full-refresh"
            raise UsageError(
                f"{spec.name}: {how} would drop the tables of {spec.into}; use --mode backfill, or do it to {spec.into}"
            )


def bytes_per_second(rate: str) -> int:
    """`500K`, `10M`, `1G` or plain bytes a second."""
    found = re.fullmatch(r"(\d{1,6})([KMG]?)", rate)
    if not found or not int(found[1]):
        raise UsageError(f"--bwlimit {rate}: write bytes a second such as 500K or 10M")
    return int(found[1]) * RATES[found[2]]


def by_spec(order: Order, root: Path, specs: Sequence[Spec]) -> dict[str, Order]:
    """The order for each of the specs: of several, each has what it knows of `--select`, `--exclude` and `--with`."""
    if len(specs) == 1:
        return {specs[0].name: order}
    known = {spec.name: _arguments(build.arguments(root, spec)) for spec in specs if order.values}
    for key in (text.partition("=")[0] for text in order.values):
        if not any(key in keys for keys in known.values()):
            every = sorted({key for keys in known.values() for key in keys})
            raise UsageError(f"--with {key}: none of these specs has such an argument{did_you_mean(key, every)}")
    refuse_strange(root, specs, "--exclude", order.exclude)
    return {
        spec.name: replace(
            order,
            select=own(root, spec, order.select),
            exclude=own(root, spec, order.exclude),
            values=tuple(text for text in order.values if text.partition("=")[0] in known[spec.name]),
        )
        for spec in specs
    }


def _arguments(known: Mapping[str, str]) -> list[str]:
    """What `--with` may name: arguments of the source, and settings of the HTTP client."""
    return [*known, *(f"http.{name}" for name in _http_settings())]


def settle(environment: Environment, spec: Spec, order: Order, read_only: bool = False) -> Store:
    """Make the settings of one run visible to dlt: the command line on top, the spec at the bottom.

    Sources find their tokens from now on; returns where these are kept.
    """
    window = parse(order.since, order.until, spec.timezone or "UTC")
    known = build.arguments(environment.root, spec)
    replaced = build.replaced(environment.root, spec)
    mine: dict[str, Any] = _values(spec, known, replaced, order.values)
    for name in ("since", "until"):
        moment = getattr(window, name)
        if moment is not None and name in known:
            mine[name] = iso(moment)
    if order.max_retry is not None:
        mine["http.max_attempts"] = order.max_retry + 1
    overrides = configuration.nested({f"sources.{spec.name}.{k}": v for k, v in mine.items()})
    of_spec, sandbox = {"sources": {spec.name: dict(spec.python or {})}}, configuration.nested(order.overrides)
    configuration.activate(environment, overrides, of_spec, read_only, sandbox)
    for section in (("sources", spec.name, "http"), ("sources", "http")):
        configuration.refuse_unknown_keys(section, _http_settings())
    for name, instead in replaced.items():
        if found := configuration.setting(name, ("sources", spec.name), fewest=2):
            raise UsageError(f"{found[1]}: sources.{spec.name}.{name}: the source has no such setting; {instead}")
    return put_in_place(environment)


def retry_command(spec: Spec, environment: Environment, order: Order) -> str:
    """The command that would do what this run left."""
    given: dict[str, Any] = {
        "--env": environment.name,
        "--mode": order.mode if order.mode != "incr" else None,
        "--select": ",".join(order.select),
        "--exclude": ",".join(order.exclude),
        "--since": order.since,
        "--until": order.until,
        "--limit": order.limit,
        "--max-retry": order.max_retry,
        "--to": order.to,
        "--only": ",".join(order.only),
        "--transfers": order.transfers,
        "--bwlimit": order.bwlimit,
    }
    words = ["etl", order.verb, spec.name]
    words += [part for option, value in given.items() if value not in (None, "") for part in (option, str(value))]
    words += ["--full-refresh"] if order.full_refresh else []
    words += ["--drop-direct"] if order.drop_direct else []
    words += ["--failed"] if order.failed else []
    words += ["--skip-failed"] if order.skip_failed else []
    words += [part for value in order.values for part in ("--with", _harmless(value))]
    return shlex.join(words)


def _harmless(value: str) -> str:
    """`--with` for a file a person reads: what may hold a secret is left out."""
    key, _, given = value.partition("=")
    may_hold_one = looks_secret(key, given) or ("://" in given and ("?" in given or "@" in given))
    return f"{key}=…" if may_hold_one else value


def _values(spec: Spec, known: dict[str, str], replaced: dict[str, str], given: Sequence[str]) -> dict[str, Any]:
    """`--with key=value` as settings of the source; a list is given as `a,b` or as JSON."""
    found: dict[str, Any] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--with {text}: write key=value")
        if key in replaced:
            raise UsageError(f"--with {key}: {spec.name} has no such argument; {replaced[key]}")
        if key not in _arguments(known):
            options = [name for name in _arguments(known) if name.startswith("http.") == key.startswith("http.")]
            near = did_you_mean(key, options)
            raise UsageError(f"--with {key}: {spec.name} has no such argument{near}; it has: {', '.join(options)}")
        is_list = "list" in known.get(key, "") and not value.startswith("[")
        found[key] = [part.strip() for part in value.split(",")] if is_list else value
    return found


def _http_settings() -> list[str]:
    """The settings of the HTTP client that all sources share."""
    return list(importlib.import_module("sources.kit.http").HttpSettings.get_resolvable_fields())
