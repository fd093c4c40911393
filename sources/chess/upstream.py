"""Chess.com over HTTP: pages read only when they have changed, and pages that are absent, moved or gone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import quote

from sources.kit import http, notices
from sources.kit.errors import SourceError

API = "https://api.chess.com/pub"
VALIDATORS = {"etag": ("ETag", "If-None-Match"), "last_modified": ("Last-Modified", "If-Modified-Since")}

Memory = dict[str, Any]
Row = dict[str, Any]


class Upstream:
    """Chess.com behind one session, so that requests go out one after the other."""

    def __init__(self, base_url: str, session: http.Session) -> None:
        self.base_url, self.session = base_url, session
        self.ids: dict[str, Any] = {}
        self._told_of: set[str] = set()

    def page(self, player: str, rest: str, memory: Memory) -> Page:
        """A page of a player; when there is none, one notice per player says why."""
        if "gone" in memory:
            message = f"chess: {player}: gone since {memory['gone']} (410), not asked for; remove it from `players`"
            return Page(notices=self._once(player, notices.warning(message)))
        page = self.fetch(self.base_url + memory.get("moved", f"/player/{quote(player, safe='')}{rest}"), memory)
        if page.absent:
            page.notices = self._once(player, notices.failed(player, f"{page.absent}; check `players` of chess"))
            memory.pop("moved", None)
        return page

    def owned(self, player: str, rest: str, memory: Memory) -> tuple[Page, Row]:
        """A page whose rows need the player's number, and the columns that name the player."""
        page = self.page(player, rest, memory)
        if page.found and "player_id" not in memory:
            if player not in self.ids:
                profile = self.page(player, "", {})
                if not profile.found:
                    return profile, {}
                self.ids[player] = profile.object().get("player_id")
            memory["player_id"] = self.ids[player]
        return page, {"player_id": memory.get("player_id"), "username": player}

    def fetch(self, url: str, memory: Memory) -> Page:
        """The answer at a URL, if it changed; `memory` takes a 410 and a move for good."""
        response = self.session.get(url, headers=_conditions(memory))
        page = Page(response)
        if response.status_code == 403:
            raise SourceError(
                f"chess: GET {http.shown(url)}: answered 403, as it does to a User-Agent without a contact; "
                "check that `contact` is an e-mail address or a URL where you can be reached"
            )
        if response.status_code == 410:
            memory["gone"] = page.sent_at.date().isoformat()
        elif not page.absent:
            http.raise_for_status(response)
            self._remember_move(response, memory)
        return page

    def here(self, address: str) -> str:
        """An address from an answer, under `base_url` when that stands in for the API."""
        return self.base_url + address.removeprefix(API) if address.startswith(f"{API}/") else address

    def listed(self, address: str) -> str:
        """The same of an address that an answer lists; no other host is asked for what one answer says."""
        found = self.here(address)
        if not found.startswith(f"{self.base_url}/"):
            raise SourceError(f"chess: {http.shown(address)}: is listed, but is elsewhere; the API may have changed")
        return found

    def _remember_move(self, response: http.Response, memory: Memory) -> None:
        for_good = any(hop.status_code in (301, 308) for hop in response.history)
        if for_good and self.here(response.url).startswith(f"{self.base_url}/"):
            memory["moved"] = self.here(response.url).removeprefix(self.base_url)

    def _once(self, player: str, notice: Row) -> list[Row]:
        if player in self._told_of:
            return []
        self._told_of.add(player)
        return [notice]


@dataclass
class Page:
    """An answer of the API, and the notices to yield before it; no response when nothing was asked."""

    response: http.Response | None = None
    notices: list[Row] = field(default_factory=list)

    @property
    def found(self) -> bool:
        return self.response is not None and self.response.status_code == 200

    @property
    def absent(self) -> str:
        """Why there is no such page, or nothing."""
        reasons = {404: "not found (404)", 410: "gone for good (410)"}
        return reasons.get(self._response.status_code, "")

    @property
    def sent_at(self) -> datetime:
        return http.sent_at(self._response)

    def unchanged(self, memory: Memory) -> bool:
        """Whether the answer is the one that `memory` is about."""
        etag = self._response.headers.get("ETag")
        return self._response.status_code == 304 or (etag is not None and etag == memory.get("etag"))

    def object(self) -> Row:
        """The document, which is an object."""
        found = http.document(self._response)
        return found if isinstance(found, dict) else self._changed("no object")

    def listed(self, key: str, of: type = dict) -> list[Any]:
        """A list in the document."""
        found = self.object().get(key)
        good = isinstance(found, list) and all(isinstance(one, of) for one in found)
        return found if good else self._changed(f"no list {key!r}")  # type: ignore[return-value]

    def remember(self, memory: Memory) -> None:
        """Keep what lets the next run ask only for a change."""
        for name, (header, _) in VALIDATORS.items():
            memory.pop(name, None)
            if header in self._response.headers:
                memory[name] = self._response.headers[header]

    @property
    def _response(self) -> http.Response:
        assert self.response is not None
        return self.response

    def _changed(self, what: str) -> NoReturn:
        url = http.shown(self._response.url)
        raise SourceError(f"chess: GET {url}: answered with {what}; check base_url, the API may have changed")


def _conditions(memory: Memory) -> dict[str, str]:
    return {header: memory[name] for name, (_, header) in VALIDATORS.items() if name in memory}
