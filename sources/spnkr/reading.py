"""One run over all matches: what is asked of each, and the pages of rows that come of it, for all tables at once.

A match is asked about once, whoever played it. Matches are taken newest first and in batches: the statistics of a
batch, then the skill of those who played, then the films, each answer on its way while the one before is read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import tee
from typing import Any

import dlt

from sources.kit import notices
from sources.kit.errors import TryLater, Unreadable
from sources.kit.halo import films
from sources.kit.halo.known import imported_parts
from sources.kit.halo.matches import match_rows
from sources.kit.halo.shape import Row, Rows
from sources.kit.halo.skill import skill_rows
from sources.kit.halo.tables import ALIASES, ASSETS, FILM, HIGHLIGHT_EVENTS, MATCH_PAYLOADS, SKILL, STATS
from sources.kit.tables import table_itself
from sources.spnkr.assets import new_assets
from sources.spnkr.film import READER, decoded
from sources.spnkr.histories import Histories, Window
from sources.spnkr.ledger import ABSENT, GONE, PENDING, UNREADABLE, Ledger, Match, Memory
from sources.spnkr.names import Names
from sources.spnkr.people import People
from sources.spnkr.tables import MATCH_HISTORY, MATCH_PARTS
from sources.spnkr.upstream import ASSETS as UGC
from sources.spnkr.upstream import BLOBS, Answer, Upstream
from sources.spnkr.upstream import SKILL as RATINGS
from sources.spnkr.upstream import STATS as RESULTS

BATCH = 100
MADE_OF = {
    "stats": (*STATS, MATCH_PAYLOADS),
    "skill": (*SKILL, MATCH_PAYLOADS),
    "film": (*FILM, MATCH_PAYLOADS),
    "names": (ALIASES,),
}
TABLES = (MATCH_HISTORY, *STATS, *SKILL, *FILM, MATCH_PAYLOADS, MATCH_PARTS, ASSETS, ALIASES)
STATUS = {PENDING: "pending", ABSENT: "absent", GONE: "gone", UNREADABLE: "unreadable"}


@dataclass
class Reading:
    """The pages of every table of matches; what several are made of is asked for once."""

    upstream: Upstream
    people: People
    match_type: str
    matches_per_run: int
    window: Window
    _copies: list[Iterator[Rows]] = field(default_factory=list)

    def of(self, table: str) -> Iterator[Any]:
        """The pages of one table."""
        running = [one.name for one in TABLES if one.name in dlt.current.source().selected_resources]
        if not self._copies:
            self._copies += tee(_Run(self, set(running)).pages(), len(running))
        yield from table_itself()
        for rows in self._copies.pop():
            if page := rows.get(table):
                yield page


class _Run:
    """What one run asks for."""

    def __init__(self, reading: Reading, running: set[str]) -> None:
        self._upstream, self._reading, self._running = reading.upstream, reading, running
        self._memory: Memory = dlt.current.source_state().setdefault("matches", {})
        tables = {
            part: {table.name: dlt.current.resource_state(table.name) for table in made if table.name in running}
            for part, made in MADE_OF.items()
        }
        self._listed_until: Memory = self._memory.setdefault("listed_until", {}).setdefault(reading.match_type, {})
        of_assets = dlt.current.resource_state(ASSETS.name) if ASSETS.name in running else {}
        self._of_assets: Memory = of_assets.setdefault(reading.upstream.language, {})
        self._first = MATCH_HISTORY.name if MATCH_HISTORY.name in running else min(running)
        self._ledger = Ledger(self._memory, tables, READER)
        self._histories = Histories(reading.upstream, reading.people, self._ledger, reading.match_type, reading.window)
        self._names = Names(reading.upstream)
        self._waits = 0
        self._stopped = ""

    def pages(self) -> Iterator[Rows]:
        """Rows by table, a few matches at a time; what was read before the upstream failed is not lost."""
        yield from self._listed()
        waiting = {} if self._reading.window else {match.match_id: match for match in self._ledger.waiting()}
        new = self._new(waiting)
        most = len(new) if self._reading.window else self._reading.matches_per_run
        now, left = [*waiting.values(), *new[:most]], len(new[most:])
        for start in range(0, len(now), BATCH):
            yield self._batch(now[start : start + BATCH])
            if self._stopped:
                break
        if not self._stopped and ASSETS.name in self._running:
            yield self._assets()
        yield {self._first: [*self._told(left, len(new))]}
        if not (self._stopped or left) and self._ledger.parts:
            self._listed_until.update(self._histories.newest)
        self._ledger.close()

    def _listed(self) -> Iterator[Rows]:
        """The histories; where their own table does not run, only what is to be told of them."""
        runs = MATCH_HISTORY.name in self._running
        match_type = self._reading.match_type
        own = dlt.current.resource_state(MATCH_HISTORY.name).setdefault(match_type, {}) if runs else None
        others = [self._listed_until if self._ledger.is_level else {}] if self._ledger.parts else []
        if ASSETS.name in self._running:
            others.append(self._of_assets.setdefault("listed_until", {}).setdefault(match_type, {}))
        for page in self._histories.pages(own, others):
            yield {self._first: page if runs else [row for row in page if getattr(row, "is_notice", False)]}

    def _new(self, waiting: Container[str]) -> list[Match]:
        """The matches that lack something, newest first, but for those that are waited for."""
        self._take_over()
        found = (match for key, match in self._histories.matches.items() if key not in waiting)
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(
            (match for match in found if self._ledger.wanted(match.match_id)),
            key=lambda match: match.ended or oldest,
            reverse=True,
        )

    def _take_over(self) -> None:
        """Take imported parts of matches that were never asked about for read."""
        unknown = [match for key, match in self._histories.matches.items() if not self._ledger.knows(key)]
        imported = imported_parts() if unknown and self._ledger.parts else {}
        for match in unknown:
            if parts := imported.get(match.match_id):
                for part in (*parts, "names"):
                    self._ledger.read(match, part)

    def _told(self, left: int, new: int) -> Iterator[Row]:
        """What a person should know of matches that are not there yet."""
        if self._waits:
            what = "1 part of a match is" if self._waits == 1 else f"{self._waits} parts of matches are"
            yield notices.warning(f"spnkr: {what} not ready yet (404); the next run asks again")
        if left:
            how = f"a backfill, which begins anew each time, reads all with --with matches_per_run={new}"
            yield notices.postponed("matches", f"{left} more matches are left to the next runs; {how}")
        if self._stopped:
            yield notices.postponed("matches", self._stopped)

    def _batch(self, batch: list[Match]) -> Rows:
        rows: Rows = {}
        try:
            self._ask(batch, rows)
        except TryLater as why:
            self._stopped = str(why)
        return rows

    def _ask(self, batch: list[Match], rows: Rows) -> None:
        wanted = {match.match_id: self._ledger.wanted(match.match_id) for match in batch}
        with_players = dict(self._stats(batch, wanted, rows))
        batch = [with_players.get(match.match_id, match) for match in batch]
        self._skill([match for match in batch if "skill" in wanted[match.match_id]], rows)
        self._films([match for match in batch if "film" in wanted[match.match_id]], rows)
        self._aliases([match for match in batch if "names" in wanted[match.match_id]], rows)

    def _stats(self, batch: list[Match], wanted: dict[str, list[str]], rows: Rows) -> Iterator[tuple[str, Match]]:
        """Add the statistics of those that lack them; they also tell who played, for skill and names."""
        needed = [match for match in batch if _needs_stats(match, wanted[match.match_id])]
        paths = (f"/hi/matches/{match.match_id}/stats" for match in needed)
        for match, answer in self._answers(RESULTS, needed, paths, rows):
            parts = wanted[match.match_id]
            if not answer.found:
                needy = [part for part in parts if part != "film"]
                parts[:] = [part for part in parts if part == "film"]
                self._missed(match, needy, answer, rows)
                continue
            found = match_rows(answer.document)
            xuids = [row["xuid"] for row in found["match_players"] if row.get("xuid")]
            match = replace(match, players=tuple(xuids))
            yield match.match_id, match
            if "stats" in parts:
                _add(rows, found)
                self._read(match, "stats", answer.text, rows)

    def _skill(self, batch: list[Match], rows: Rows) -> None:
        """Add ratings of people, as bots make the request fail; custom matches have none."""
        for match in batch:
            if not (match.has_playlist and match.players):
                self._note(match, "skill", ABSENT, rows, "a custom match has none")
        asked = [match for match in batch if match.has_playlist and match.players]
        paths = (f"/hi/matches/{match.match_id}/skill?{_players(match.players)}" for match in asked)
        for match, answer in self._answers(RATINGS, asked, paths, rows):
            if not answer.found:
                self._missed(match, ["skill"], answer, rows)
                continue
            found = skill_rows(match.match_id, answer.document)
            _add(rows, found)
            known = any(row.get("result_code") == 0 for row in found["match_skill"])
            if known or not match.is_fresh(answer.sent_at):
                self._read(match, "skill", answer.text, rows)
            else:
                self._waits += 1
                self._note(match, "skill", PENDING, rows, "nobody's skill is known yet")

    def _films(self, batch: list[Match], rows: Rows) -> None:
        """Add the events of films: a manifest says which file has them."""
        manifests = (f"/hi/films/matches/{match.match_id}/spectate" for match in batch)
        filmed: list[tuple[Match, Answer, str]] = []
        for match, answer in self._answers(UGC, batch, manifests, rows):
            path = self._file_of(match, answer, rows)
            if path:
                filmed.append((match, answer, path))
        files = self._answers(BLOBS, [match for match, _, _ in filmed], (path for _, _, path in filmed), rows)
        for (match, manifest, _), (_, file) in zip(filmed, files, strict=True):
            if file.found:
                self._events(match, manifest, file, rows)
            else:
                self._missed(match, ["film"], file, rows)

    def _file_of(self, match: Match, manifest: Answer, rows: Rows) -> str | None:
        """The path of the file with the events; where there is none, it is noted why."""
        try:
            address = films.highlights_url(manifest.document) if manifest.found else None
        except Unreadable as why:
            self._unreadable(match, str(why), rows)
            return None
        if address and (path := self._upstream.path_of(address)):
            return path
        if address:
            self._unreadable(match, "its file is on a host that is not Waypoint's; the API may have changed", rows)
        else:
            missing = Answer(404, manifest.response, "the film has no events") if manifest.found else manifest
            self._missed(match, ["film"], missing, rows)
        return None

    def _events(self, match: Match, manifest: Answer, file: Answer, rows: Rows) -> None:
        try:
            events = decoded(file.content, films.film_version(manifest.document))
        except Unreadable as why:
            self._unreadable(match, str(why), rows)
            return
        found = films.event_rows(match.match_id, events)
        rows.setdefault(HIGHLIGHT_EVENTS.name, []).extend(found[HIGHLIGHT_EVENTS.name])
        self._read(match, "film", manifest.text, rows)

    def _unreadable(self, match: Match, why: str, rows: Rows) -> None:
        rows.setdefault(self._teller("film"), []).append(notices.failed(f"film of {match.match_id}", why))
        self._note(match, "film", UNREADABLE, rows, why)

    def _aliases(self, batch: list[Match], rows: Rows) -> None:
        """Add the names of those who played."""
        self._names.ask(batch, rows.setdefault(ALIASES.name, []))
        for match in batch:
            if self._names.has(match):
                self._done(match, "names", rows)
            else:
                self._note(match, "names", PENDING, rows, "not all were told")

    def _assets(self) -> Rows:
        try:
            page = new_assets(self._upstream, self._of_assets, self._histories.assets)
        except TryLater as why:
            self._stopped = str(why)
            return {}
        self._of_assets["listed_until"][self._reading.match_type].update(self._histories.newest)
        return {ASSETS.name: page}

    def _answers(
        self, host: str, matches: list[Match], paths: Iterable[str], rows: Rows
    ) -> Iterator[tuple[Match, Answer]]:
        yield from zip(matches, self._upstream.each(host, paths), strict=True)

    def _missed(self, match: Match, parts: list[str], answer: Answer, rows: Rows) -> None:
        """Note why parts were not there: not yet, not any more, or because the upstream failed, which is told."""
        failed = not (answer.absent or answer.gone)
        waits = failed or (answer.absent and match.is_fresh(answer.sent_at))
        status = PENDING if waits else GONE if answer.gone else ABSENT
        for part in parts:
            self._note(match, part, status, rows, answer.why)
        if failed:
            rows.setdefault(self._teller(parts[0]), []).append(
                notices.failed(f"{parts[0]} of {match.match_id}", answer.why)
            )
        elif waits:
            self._waits += len(parts)

    def _note(self, match: Match, part: str, status: str, rows: Rows, why: str) -> None:
        if self._ledger.note(match, part, status):
            row = {"match_id": match.match_id, "part": part, "status": STATUS[status], "reason": why}
            rows.setdefault(MATCH_PARTS.name, []).append(row)

    def _read(self, match: Match, part: str, text: str, rows: Rows) -> None:
        self._done(match, part, rows)
        row = {"match_id": match.match_id, "part": part, "source": "api", "payload": text}
        rows.setdefault(MATCH_PAYLOADS.name, []).append(row)

    def _done(self, match: Match, part: str, rows: Rows) -> None:
        self._ledger.read(match, part)
        row = {"match_id": match.match_id, "part": part, "status": "done"}
        rows.setdefault(MATCH_PARTS.name, []).append(row)

    def _teller(self, part: str) -> str:
        """A table of a part that runs, to which notices belong."""
        return next(table.name for table in MADE_OF[part] if table.name in self._running)


def _needs_stats(match: Match, wanted: list[str]) -> bool:
    who_played = "names" in wanted or ("skill" in wanted and match.has_playlist)
    return "stats" in wanted or (who_played and not match.players)


def _players(xuids: Iterable[str]) -> str:
    return "&".join(f"players=xuid({xuid})" for xuid in xuids)


def _add(rows: Rows, more: Rows) -> None:
    for table, page in more.items():
        rows.setdefault(table, []).extend(page)
