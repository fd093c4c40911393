"""Who played: the names of people, each asked for once a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sources.kit import notices
from sources.kit.halo.shape import Row, objects
from sources.spnkr.ledger import Match
from sources.spnkr.upstream import PEOPLE, Answer, Upstream

AT_ONCE = 20  # people; more, and the API answers 429


class Names:
    """The names that a run has asked for."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._known: set[str] = set()
        self._told: set[tuple[Any, Any]] = set()

    def has(self, match: Match) -> bool:
        """Whether everybody who played was asked about."""
        return self._known.issuperset(match.players)

    def ask(self, matches: Iterable[Match], page: list[Row]) -> None:
        """Add rows of `aliases` for those who played and were not asked about yet."""
        played = dict.fromkeys(xuid for match in matches for xuid in match.players)
        new = [xuid for xuid in played if xuid not in self._known]
        groups = [new[start : start + AT_ONCE] for start in range(0, len(new), AT_ONCE)]
        paths = ("/users?" + "&".join(f"xuids={xuid}" for xuid in group) for group in groups)
        for group, answer in zip(groups, self._upstream.each(PEOPLE, paths), strict=True):
            if answer.found:
                self._known |= set(group)
                page += [self._row(user, answer) if good else user for user, good in self._first(answer)]
            else:
                page.append(notices.failed("names of people", answer.why))

    def _first(self, answer: Answer) -> Iterable[tuple[Row, bool]]:
        """People whom this run has not told of: the table keeps the first row of each, and takes it once."""
        for user, good in objects(answer.document, "users"):
            name = (user.get("xuid"), user.get("gamertag"))
            if not good or name not in self._told:
                self._told.add(name)
                yield user, good

    def _row(self, user: Row, answer: Answer) -> Row:
        name = {"xuid": user.get("xuid"), "gamertag": user.get("gamertag"), "source": "api"}
        return {**name, "first_seen_at": answer.sent_at.isoformat()}
