"""Halo Waypoint over HTTP: a session and a pace for each host, and answers that are there, absent or gone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sources.kit import ahead, http
from sources.kit.errors import SourceError, TryLater
from sources.kit.oauth2 import SignedIn

API = "https://{host}.svc.halowaypoint.com"
STATS, SKILL, ASSETS, FILES = "halostats", "skill", "discovery-infiniteugc", "gamecms-hacs"
ECONOMY, PEOPLE, BLOBS = "economy", "profile", "blobs-infiniteugc"
OURS = re.compile(r"https://([a-z0-9-]+)\.svc\.halowaypoint\.com/")
REQUESTS_PER_SECOND = 5.0  # of one host; nothing is published, and this has never met a 429
FAILURES_IN_A_ROW = 3  # from then on it is no single match that the upstream cannot answer
ANYTHING = "*/*"


@dataclass(frozen=True)
class Answer:
    """An answer, or why there is none; `status` is 0 where all attempts failed."""

    status: int
    response: http.Response | None = None
    why: str = ""

    @property
    def found(self) -> bool:
        return self.status == 200 and self.response is not None

    @property
    def absent(self) -> bool:
        """Whether it is not there, or not there yet."""
        return self.status in (204, 404)

    @property
    def gone(self) -> bool:
        return self.status == 410

    @property
    def sent_at(self) -> datetime:
        """The upstream's clock."""
        return datetime.now(UTC) if self.response is None else http.sent_at(self.response)

    @property
    def document(self) -> Any:
        """The JSON of an answer that was found."""
        assert self.response is not None
        return http.document(self.response)

    @property
    def text(self) -> str:
        """The same as it came."""
        assert self.response is not None
        return self.response.text

    @property
    def content(self) -> bytes:
        """The bytes of a file."""
        assert self.response is not None
        return self.response.content


class Upstream:
    """All hosts of the API behind one sign-in; `base_url` names them with `{host}`."""

    def __init__(self, base_url: str, language: str, auth: SignedIn) -> None:
        self._base_url, self.language, self._auth = base_url.rstrip("/"), language, auth
        self._sessions: dict[str, http.Session] = {}
        self._failures: dict[str, int] = {}

    def one(self, host: str, path: str) -> Answer:
        """The answer to one request; TryLater where the host has none."""
        response = self._session(host).get(self._url(host, path))
        return _answer(response)

    def each(self, host: str, paths: Iterable[str]) -> Iterator[Answer]:
        """The answers to several requests in their order, the next ones on their way; one may have failed.

        TryLater once several in a row have.
        """
        session = self._session(host)
        for ask in ahead.each(session, (self._url(host, path) for path in paths)):
            try:
                response = ask()
            except TryLater as error:
                self._failures[host] = self._failures.get(host, 0) + 1
                if session.throttled or self._failures[host] >= FAILURES_IN_A_ROW:
                    raise
                yield Answer(0, why=str(error))
                continue
            self._failures[host] = 0
            yield _answer(response)

    def path_of(self, address: str) -> str | None:
        """The path of a file whose address stands in an answer; None for one on another host, which gets no token."""
        here = self._url(BLOBS, "/")
        if address.startswith(here):
            return f"/{address.removeprefix(here)}"
        match = OURS.match(address)
        return f"/{address[match.end() :]}" if match and match[1] == BLOBS else None

    def _url(self, host: str, path: str) -> str:
        return self._base_url.replace("{host}", host) + path

    def _session(self, host: str) -> http.Session:
        if host not in self._sessions:
            session = http.open_session("spnkr", requests_per_second=REQUESTS_PER_SECOND, max_attempts=5)
            session.auth = self._auth
            if host == ASSETS:
                session.headers["Accept-Language"] = self.language
            if host == BLOBS:
                session.headers["Accept"] = ANYTHING
            self._sessions[host] = session
        return self._sessions[host]


def player_path(player: str) -> str:
    """A person in an address: the XUID, or whoever has a gamertag."""
    return f"xuid({player})" if player.isdecimal() else f"gt({quote(player, safe='')})"


def listed(document: Any, key: str, where: str) -> list[Any]:
    """A list in a document; SourceError where there is none."""
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise SourceError(f"spnkr: {where}: answered with no list {key!r}; check base_url, the API may have changed")
    return found


def _answer(response: http.Response) -> Answer:
    status = response.status_code
    why = "" if status == 200 else f"answered {status}"
    return Answer(status, response, why)
