"""Rows that must not be loaded, and what else a source noticed: spooled to disk until they are in `_etl.quarantine`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from dlt.common.json import json as dlt_json

from pipelines.rows.harmless import harmless

MISSING = "is missing or null, and must not be"
NOTICE = "_etl_notice"  # the mark of sources.kit.notices
LANDED = "landing/"  # begins the place of a line in a raw file


@dataclass(frozen=True)
class Rejection:
    """One row in quarantine; `id` is its content, so that a repeated run writes it once.

    A raw file is no place of its own: the same row may be fetched into several, and is one row.
    """

    spec: str
    resource: str
    reason: str
    place: str
    payload: str

    @property
    def id(self) -> str:
        place = "" if self.place.startswith(LANDED) else self.place
        parts = (self.spec, self.resource, self.reason, place, self.payload)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass
class Intake:
    """What a run set aside while it read: rejections on disk, what failed or was covered, and warnings, in memory."""

    spec: str
    spool: Path
    rejected: dict[str, int] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)
    covered: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    postponed: int = 0
    signed_out: list[str] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    _file: TextIO | None = None
    _dirty: bool = False

    def reject(self, resource: str, row: Any, reason: str, place: str = "") -> None:
        """Spool one row; `flush` puts it on disk before the page it came from goes on."""
        rejection = Rejection(self.spec, resource, reason, place, _payload(row))
        if self._file is None:
            self.spool.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.spool.open("a", encoding="utf-8")
        self._file.write(json.dumps(vars(rejection), ensure_ascii=True) + "\n")
        self._dirty = True
        self.rejected[resource] = self.rejected.get(resource, 0) + 1

    def refuse(self, resource: str, row: Any, reason: str, place: str = "") -> None:
        """Take in a row that the guard does not let pass."""
        self.reject(resource, row, reason, place)

    def notice(self, resource: str, notice: dict[str, Any]) -> None:
        """Take in one notice of a source."""
        match notice[NOTICE]:
            case "rejected":
                self.reject(resource, notice["row"], notice["reason"], notice["where"])
            case "failed" | "postponed" as kind:
                told = {key: harmless(notice[key]) for key in ("item", "reason")}
                place = self.postponed if kind == "postponed" else len(self.failed)  # a report shows the first ones
                self.failed.insert(place, {"resource": resource, **_said(notice), **told})
                self.postponed += kind == "postponed"
            case "signed_out":
                if notice["reason"] not in self.signed_out:
                    self.signed_out.append(notice["reason"])
            case "covered":
                self.covered.append({"resource": resource, **_said(notice)})
            case "warning":
                message = harmless(notice["message"])
                if message not in self.warnings:
                    self.warnings.append(message)
            case other:
                raise ValueError(f"{self.spec}.{resource}: unknown notice {other!r}; see sources.kit.notices")

    def flush(self) -> None:
        """Make what was rejected since the last call durable."""
        if self._file is not None and self._dirty:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._dirty = False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _said(notice: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in notice.items() if key != NOTICE}


def spooled(spool: Path) -> Iterator[Rejection]:
    """The rejections of a spool file; a last line cut by a crash is left out, its page was not loaded."""
    if not spool.exists():
        return
    with spool.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield Rejection(**json.loads(line))


def shown(value: Any, limit: int = 60) -> str:
    """A value as a reason quotes it, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _payload(row: Any) -> str:
    """A row as text; one that dlt cannot write goes through Python's own, more lenient writer."""
    if isinstance(row, str):
        return row.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
    try:
        return dlt_json.dumps(row, sort_keys=True)
    except (TypeError, ValueError):
        return _leniently(row)


def _leniently(row: Any) -> str:
    try:
        return json.dumps(row, default=repr)
    except RecursionError:
        return f"a {type(row).__name__} that is nested too deeply to be written"
