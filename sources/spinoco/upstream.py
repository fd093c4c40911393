"""Spinoco over HTTP: pages of tasks, kept for a while because several resources read them in step."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit

from sources.kit import http
from sources.kit.errors import SourceError

API = "https://api.spinoco.com"
PROTOCOL = {"x-spinoco-protocol-version": "2"}
COMPLETED_CALLS = {"completed": "Only", "queryBy": "LastUpdate", "taskQueryTypes": ["CallSessionTask"]}
PAGES_KEPT = 32  # more than the resources are ever apart

Row = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """A page of tasks, the token of the next one if there is one, and when the vendor answered."""

    tasks: list[Any]
    next: str | None
    sent_at: datetime


class Upstream:
    """Spinoco behind one session; a request that was answered a moment ago is not made again."""

    def __init__(self, base_url: str, token: str, page_size: int, session: http.Session) -> None:
        self.base_url, self.page_size, self.session = base_url, page_size, session
        session.origin = urlsplit(self.base_url).netloc.rpartition("@")[2].lower()
        session.headers.update({"Authorization": f"Bearer {token}", **PROTOCOL})
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def pages(self, start: int) -> Iterator[Page]:
        """Tasks from a `lastUpdate` on (ms), oldest change first; only the first request holds the query."""
        page = self.first_page(start)
        yield page
        yield from self._following("/task/query", page)

    def first_page(self, start: int) -> Page:
        """The tasks that come first from a `lastUpdate` on."""
        query = {**COMPLETED_CALLS, "from": {"L": str(start)}}
        return self._page("/task/query", {"query": query, "count": self.page_size})

    def synced_pages(self, query: Row) -> Iterator[Page]:
        """What the vendor keeps under a tag and has not handed out yet."""
        page = self._page("/task/sync/", {"query": query, "count": self.page_size})
        yield page
        yield from self._following("/task/sync/", page)

    def task(self, guid: str) -> Row | None:
        """One task, or None where there is none any more."""

        def ask() -> Row | None:
            response = self.session.get(f"{self.base_url}/task/{quote(guid, safe='')}")
            return None if response.status_code == 404 else _object(response)

        found: Row | None = self._remembered(f"task {guid}", ask)
        return found

    def transcript(self, task: str, recording: str) -> Row | None:
        """What was said in a recording, or None where nobody wrote it down; a status that is neither is raised."""
        path = f"/task/transcription/{quote(task, safe='')}/{quote(recording, safe='')}"
        response = self.session.get(self.base_url + path)
        return None if response.status_code == 404 else _object(response)

    def labels(self, path: str, deactivated: bool) -> Row | None:
        """Labels by id, or None where the token may not read them or there are none."""
        word = "true" if deactivated else "false"
        response = self.session.get(self.base_url + path, params={"deactivated": word})
        return None if response.status_code in (403, 404) else _object(response)

    def _following(self, path: str, page: Page) -> Iterator[Page]:
        """The pages behind one, each by the token of the one before."""
        used: set[str] = set()
        while page.next:
            if page.next in used:
                raise SourceError(f"spinoco: POST {path}: its pages lead to themselves; the API may have changed")
            used.add(page.next)
            page = self._page(path, {"page": page.next, "count": self.page_size})
            yield page

    def _page(self, path: str, body: Row) -> Page:
        def ask() -> Page:
            response = self.session.post(self.base_url + path, json=body)
            told = _object(response)
            tasks, following = told.get("result"), told.get("next")
            if not isinstance(tasks, list):
                _refuse(response, "no list 'result'")
            if not isinstance(following, str | None):
                _refuse(response, "a 'next' that is no text")
            return Page(tasks, following or None, http.sent_at(response))

        found: Page = self._remembered(f"{path} {json.dumps(body)}", ask)
        return found

    def _remembered(self, name: str, ask: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = ask()
            while len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)
        return self._kept[name]


def _object(response: http.Response) -> Row:
    http.raise_for_status(response)
    found = http.document(response)
    return found if isinstance(found, dict) else _refuse(response, "no object")


def _refuse(response: http.Response, what: str) -> NoReturn:
    asked = f"{response.request.method} {http.shown(response.url)}"
    raise SourceError(f"spinoco: {asked}: answered with {what}; check base_url, the API may have changed")
