"""What the API says of people and of the game as it is today: a row on each day on which that had changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import dlt

from sources.kit import notices
from sources.kit.halo.medals import medal_rows
from sources.kit.halo.shape import Row
from sources.spnkr.people import People, checked
from sources.spnkr.tables import (
    DAY,
    career_row,
    count_row,
    csr_rows,
    customization_row,
    operation_rows,
    privacy_row,
    record_row,
    season_rows,
)
from sources.spnkr.upstream import ECONOMY, FILES, SKILL, STATS, Answer, Upstream, player_path

MATCH_TYPES = ("Matchmade", "Custom", "Local")
AT_ONCE = 20  # people in one request
REFUSED = (403, 404)
MEDALS_PATH = "/hi/Waypoint/file/medals/metadata.json"
SEASONS_PATH = "/hi/progression/file/calendars/seasons/seasoncalendar.json"
CSR_SEASONS_PATH = "/hi/Progression/file/Csr/Calendars/CsrSeasonCalendar.json"


def match_count(people: People) -> Iterator[Any]:
    """One row per person and day."""
    yield from _of_each(people, lambda xuid: [(people.count(xuid), lambda told: count_row(xuid, told))])


def service_records(upstream: Upstream, people: People) -> Iterator[Any]:
    """One row per person, kind of match and day."""

    def records(xuid: str) -> Iterator[tuple[Answer, Callable[[Row], Row]]]:
        paths = (f"/hi/players/{player_path(xuid)}/{kind}/servicerecord" for kind in MATCH_TYPES)
        for kind, answer in zip(MATCH_TYPES, upstream.each(STATS, paths), strict=True):
            yield answer, lambda told, kind=kind: record_row(xuid, kind.lower(), told)  # type: ignore[misc]

    yield from _of_each(people, records)


def career_progress(upstream: Upstream, people: People) -> Iterator[Any]:
    """One row per person and day."""

    def progress(xuid: str) -> Iterator[tuple[Answer, Callable[[Row], Row]]]:
        path = f"/hi/players/{player_path(xuid)}/rewardtracks/careerranks/careerrank1"
        yield upstream.one(ECONOMY, path), lambda told: career_row(xuid, told)

    yield from _of_each(people, progress)


def match_privacy(upstream: Upstream, people: People) -> Iterator[Any]:
    """One row per person and day."""
    yield from _open(upstream, people, STATS, "matches-privacy", lambda xuid, told: [privacy_row(xuid, told)])


def operations(upstream: Upstream, people: People) -> Iterator[Any]:
    """One row per person, operation and day."""
    yield from _open(upstream, people, ECONOMY, "rewardtracks/operations", operation_rows)


def customization(upstream: Upstream, people: People) -> Iterator[Any]:
    """One row per person and day."""
    path = "customization?view=public"
    yield from _open(upstream, people, ECONOMY, path, lambda xuid, told: [customization_row(xuid, told)])


def playlist_csr(upstream: Upstream, people: People, playlists: list[str]) -> Iterator[Any]:
    """One row per person, ranked playlist and day."""
    memory = _memory()
    xuids: list[str] = []
    for xuid in people.xuids():
        if isinstance(xuid, list):
            yield xuid
        else:
            xuids.append(xuid)
    for start in range(0, len(xuids), AT_ONCE):
        query = "&".join(f"players=xuid({xuid})" for xuid in xuids[start : start + AT_ONCE])
        for playlist in playlists:
            answer = upstream.one(SKILL, f"/hi/playlist/{playlist}/csrs?{query}")
            rows = csr_rows(playlist, checked(answer))
            yield _changed(rows, answer, memory, ("xuid", "playlist_id"))


def medals(upstream: Upstream) -> Iterator[Any]:
    """One row per medal."""
    yield _if_changed(medal_rows(_object(upstream.one(FILES, MEDALS_PATH)))[0])


def medal_labels(upstream: Upstream) -> Iterator[Any]:
    """One row per medal and language."""
    yield _if_changed(medal_rows(_object(upstream.one(FILES, MEDALS_PATH)))[1])


def seasons(upstream: Upstream) -> Iterator[Any]:
    """One row per season, operation and event."""
    yield _if_changed(season_rows(*(_object(upstream.one(FILES, path)) for path in (SEASONS_PATH, CSR_SEASONS_PATH))))


def _of_each(people: People, asked: Callable[[str], Any]) -> Iterator[list[Any]]:
    """The rows of each person that are not as they were."""
    memory = _memory()
    for xuid in people.xuids():
        if isinstance(xuid, list):
            yield xuid
            continue
        for answer, shape in asked(xuid):
            row = shape(_object(answer))
            yield _changed([row], answer, memory, ("xuid", "match_type"))


def _open(
    upstream: Upstream, people: People, host: str, path: str, shape: Callable[[str, Row], list[Row]]
) -> Iterator[Any]:
    """The same of what the API may not tell of everybody: that is told, and of the others it is read."""
    memory = _memory()
    for xuid in people.xuids():
        if isinstance(xuid, list):
            yield xuid
            continue
        answer = upstream.one(host, f"/hi/players/{player_path(xuid)}/{path}")
        if answer.status in REFUSED:
            table = dlt.current.resource_name()
            why = f"{answer.why}; where it is never told, leave it out with --exclude {table}"
            yield [notices.failed(xuid, why)]
        else:
            yield _changed(shape(xuid, _object(answer)), answer, memory, ("xuid", "reward_track_path"))


def _changed(rows: list[Row], answer: Answer, memory: dict[str, str], key: tuple[str, ...]) -> list[Row]:
    """Those rows that say something else than the last time, with the day by the upstream's clock."""
    news: list[Row] = []
    for row in rows:
        name, digest = "/".join(str(row.get(part)) for part in key), _digest(row)
        if memory.get(name) != digest:
            memory[name] = digest
            news.append(row if getattr(row, "is_notice", False) else {**row, DAY: answer.sent_at.date().isoformat()})
    return news


def _if_changed(rows: list[Row]) -> list[Row]:
    """All rows of a document, unless they are as they were."""
    memory, digest = _memory(), _digest(rows)
    if memory.get("document") == digest:
        return []
    memory["document"] = digest
    return rows


def _object(answer: Answer) -> Row:
    found = checked(answer)
    return found if isinstance(found, dict) else {}


def _memory() -> dict[str, str]:
    memory: dict[str, str] = dlt.current.resource_state().setdefault("digests", {})
    return memory


def _digest(told: Any) -> str:
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
