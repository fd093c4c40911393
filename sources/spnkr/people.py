"""The people whose matches are read: their numbers at Xbox, and how many matches the API says they have."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from sources.kit import http, notices
from sources.kit.errors import BadSetting, SourceError
from sources.kit.halo.shape import Row, xuid_of
from sources.spnkr.upstream import PEOPLE, STATS, Answer, Upstream, player_path

LONGEST_XUID = 20


class People:
    """Those that `players` names, by XUID or gamertag; one that is not known is told of once."""

    def __init__(self, upstream: Upstream, players: list[str]) -> None:
        self._upstream, self._players = upstream, _names(players)
        self._untold: list[Row] = []
        self._counts: dict[str, Answer] = {}

    def xuids(self) -> Iterator[Any]:
        """The XUID of each, and before them a page of notices about those that have none."""
        found = self._found
        if self._untold:
            notice, self._untold = self._untold, []
            yield notice
        yield from found

    def count(self, xuid: str) -> Answer:
        """What the API says of how many matches somebody has; asked once a run, before any list of them."""
        if xuid not in self._counts:
            self._counts[xuid] = self._upstream.one(STATS, f"/hi/players/{player_path(xuid)}/matches/count")
        return self._counts[xuid]

    @cached_property
    def _found(self) -> list[str]:
        return list(dict.fromkeys(filter(None, (self._xuid(player) for player in self._players))))

    def _xuid(self, player: str) -> str | None:
        if xuid := xuid_of(player):
            return xuid
        answer = self._upstream.one(PEOPLE, f"/users/{player_path(player)}")
        if answer.absent:
            self._untold.append(notices.failed(player, "nobody has this gamertag; check `players` of spnkr"))
            return None
        if not answer.found:
            raise SourceError(f"spnkr: {player}: the profile {answer.why}; check the sign-in and `players` of spnkr")
        found = answer.document.get("xuid") if isinstance(answer.document, dict) else None
        return str(found) if found else None


def checked(answer: Answer) -> Any:
    """The document of an answer that must be there."""
    if not answer.found:
        assert answer.response is not None
        http.raise_for_status(answer.response)
        where = http.shown(answer.response.url)
        raise SourceError(f"spnkr: {where}: {answer.why}; check base_url, the API may have changed")
    return answer.document


def _names(players: list[str]) -> list[str]:
    names = list(dict.fromkeys(str(player).strip() for player in players))
    if not names or "" in names:
        raise BadSetting("spnkr: players: names nobody; list gamertags or XUIDs in specs/spnkr.yaml, e.g. [Chief]")
    return names
