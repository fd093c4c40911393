"""Stands in for a vendor's lists of call recordings: two CSV files, flat and grouped.

`flat.csv` has a row per recording, times in UTC with `Z`, and grows by about one per cent each day.
`grouped.csv` has a row per phone number, times without a zone, and the addresses one per line in one cell;
most of them are in the flat list too. What the addresses lead to is served by `sandbox.vault`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

from sandbox.exchange import FIRST_NOON, World, noon

FLAT = ("recording_id", "location", "phone", "campaign_name", "duration_seconds", "started", "stopped")
GROUPED = (
    "phone",
    "campaign_name",
    "total_recordings",
    "first_call_time",
    "last_call_time",
    "recording_urls",
)
VENDOR = "https://recordings.example.test"  # not the sandbox's port: a URL is the identity of its row
CAMPAIGN = "Sandbox 15.03"


@dataclass(frozen=True)
class Call:
    """A recorded call."""

    recording_id: str
    url: str
    phone: str
    seconds: float
    started: datetime

    @property
    def stopped(self) -> datetime:
        """When it ended."""
        return self.started + timedelta(seconds=self.seconds)


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Write the lists (a file that would not change is left alone) and say where they are."""
    calls = _calls(world, "call", world.records, FIRST_NOON - timedelta(days=30), days=30)
    _write(folder / "flat.csv", FLAT, map(_flat, [*calls, *_later_calls(world)]))
    _write(folder / "grouped.csv", GROUPED, _grouped(world, calls[: len(calls) // 2]))
    return {
        "sources.recordings.csv_path": f"{folder}/*.csv",
        "sources.recordings.timezone": "UTC",
        "sources.recordings.base_url": f"{base_url.removesuffix('/recordings')}/vault",
    }


def listed(world: World) -> list[Call]:
    """Every call that one of the lists names."""
    calls = _calls(world, "call", world.records, FIRST_NOON - timedelta(days=30), days=30)
    return [*calls, *_later_calls(world), *_only_grouped(world, calls[: len(calls) // 2])]


def _calls(world: World, name: str, count: int, first: datetime, days: int) -> list[Call]:
    """Calls in order of time, spread over `days` from `first` on, about two for each phone number."""
    rng = world.random("recordings", name)
    starts = sorted(rng.randrange(days * 86_400_000) for _ in range(count))
    return [
        Call(
            recording_id=f"{rng.getrandbits(128):032x}",
            url=f"{VENDOR}/vr/PR_{UUID(int=rng.getrandbits(128))}.mp3",
            phone=f"+4915550{rng.randrange(count // 2 + 1):06d}",
            seconds=round(min(0.4 + rng.expovariate(1 / 4), 60), 3),  # real calls are longer, and so are their files
            started=first + timedelta(milliseconds=start),
        )
        for start in starts
    ]


def _later_calls(world: World) -> list[Call]:
    count = max(3, world.records // 100)
    return [
        call for day in range(2, world.day + 1) for call in _calls(world, f"day {day}", count, noon(day - 1), days=1)
    ]


def _flat(call: Call) -> Sequence[str]:
    return (
        call.recording_id,
        call.url,
        call.phone,
        CAMPAIGN,
        f"{call.seconds:.15g}",
        _iso(call.started),
        _iso(call.stopped),
    )


def _grouped(world: World, shared: list[Call]) -> Iterable[Sequence[str]]:
    """A row per phone: calls of the flat list, and now and then one that is only here."""
    by_phone = sorted([*shared, *_only_grouped(world, shared)], key=lambda call: call.phone)
    for phone, calls in groupby(by_phone, key=lambda call: call.phone):
        yield _group(phone, sorted(calls, key=lambda call: call.started))


def _only_grouped(world: World, shared: list[Call]) -> list[Call]:
    phones = {call.phone for call in shared}
    own = _calls(world, "grouped", len(phones), FIRST_NOON - timedelta(days=60), days=30)
    return [call for call in own if call.phone in phones]


def _group(phone: str, calls: list[Call]) -> Sequence[str]:
    first, last = _naive(calls[0].started), _naive(calls[-1].started)
    return phone, CAMPAIGN, str(len(calls)), first, last, "\n".join(call.url for call in calls)


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _naive(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", timespec="milliseconds")


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    content = text.getvalue().encode()
    if path.exists() and path.read_bytes() == content:
        return
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
