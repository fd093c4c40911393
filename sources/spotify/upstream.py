"""The Web API over HTTP: pages of each account, and the quota that ends all asking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, Self

from sources.kit import http, tokens
from sources.kit.errors import SourceError, TryLater
from sources.kit.oauth2 import OAuth2
from sources.spotify.tables import Row, told_playlist

API = "https://api.spotify.com/v1"
PAGE = 50  # as much as any list gives at once
ONLY = "me"  # what the account is called where none is named
QUOTA = "QUOTA_EXCEEDED"

Memory = dict[str, Any]


class Exhausted(TryLater):
    """The quota of the developer's account is used up: nobody may ask any more in this run."""


class Upstream:
    """The API as each account sees it, a session each; what one run asks twice is answered once."""

    def __init__(self, base_url: str, sign_in: OAuth2) -> None:
        self._base_url, self._sign_in = base_url, sign_in
        self._sessions: dict[str, http.Session] = {}
        self._playlists: dict[str, Listing] = {}
        self._exhausted = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self._sessions.values():
            session.close()

    def ask(self, account: str, path: str, **query: Any) -> Page:
        """The answer to a GET, whatever its status; Exhausted when the quota is used up."""
        if self._exhausted:
            raise Exhausted(self._exhausted)
        filled = {name: value for name, value in query.items() if value is not None}
        return Page(self._session(account).get(self._base_url + path, params=filled))

    def page(self, account: str, path: str, **query: Any) -> Page:
        """The answer to a GET that must be there."""
        answer = self.ask(account, path, **query)
        if answer.status == 403:
            answer.refuse("answered 403; sign in again so that every scope is granted, and look at the app's users")
        http.raise_for_status(answer.response)
        return answer

    def pages(
        self, account: str, path: str, offset: int = 0, first: Page | None = None, **query: Any
    ) -> Iterator[Page]:
        """The pages of a list that is counted, from an offset on; addresses in an answer are never asked."""
        seen: set[int] = set()
        while True:
            page, first = first or self.page(account, path, limit=PAGE, offset=offset, **query), None
            page.offset = offset
            if page.has_next and page.mark in seen:
                page.refuse("answered with a page that was read before; the API may have changed")
            seen.add(page.mark)
            yield page
            if not page.has_next or not page.items:
                return
            offset += PAGE

    def playlists(self, account: str) -> Listing:
        """The playlists of an account, asked for once a run."""
        if account not in self._playlists:
            self._playlists[account] = listing(self.pages(account, "/me/playlists"), told_playlist)
        return self._playlists[account]

    def _session(self, account: str) -> http.Session:
        if account not in self._sessions:
            session = http.open_session("spotify")
            session.auth = self._sign_in.auth(self._signed_in(account))
            session.verdict = self._verdict
            self._sessions[account] = session
        return self._sessions[account]

    def _signed_in(self, account: str) -> str:
        """The name that an account has signed in by: the only one may have none."""
        is_unnamed = account == ONLY and tokens.read(self._sign_in.name, ONLY) is None
        return "" if is_unnamed else account

    def _verdict(self, response: http.Response) -> SourceError | None:
        """A quota lasts longer than any run, whatever Retry-After says; a rate limit passes."""
        if response.status_code != 429 or _reason(response) != QUOTA:
            return None
        self._exhausted = (
            f"spotify: GET {http.shown(response.url)}: the quota of the developer's account is used up ({QUOTA}); "
            "run again later, what is left is read then"
        )
        return Exhausted(self._exhausted)


class Page:
    """An answer of the API; of a list, one page."""

    def __init__(self, response: http.Response) -> None:
        self.response, self.offset = response, 0

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def sent_at(self) -> datetime:
        return http.sent_at(self.response)

    @property
    def object(self) -> Row:
        """The document, which is an object; of `following`, what it wraps."""
        found = http.document(self.response)
        if not isinstance(found, dict):
            self.refuse("answered with no object; check base_url, the API may have changed")
        wrapped = found.get("artists")
        return wrapped if isinstance(wrapped, dict) else found

    @property
    def items(self) -> list[Row]:
        """The entries; of a list that is counted never more than the page can hold."""
        items = self.object.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            self.refuse("answered with no list 'items'; check base_url, the API may have changed")
        return items if self.total is None else items[: max(0, min(PAGE, self.total - self.offset))]

    @property
    def total(self) -> int | None:
        """How many entries the whole list has, where an offset is counted."""
        total = self.object.get("total")
        return total if isinstance(total, int) and "offset" in self.object else None

    @property
    def mark(self) -> int:
        """What the same page has again; where entries are counted their place is part of it."""
        return hash(repr(self.items) if self.total is None else self.response.content)

    @property
    def has_next(self) -> bool:
        return self.object.get("next") is not None

    def cursor(self, name: str) -> str | None:
        """Where the next page begins; the cursors of an empty answer are null."""
        cursors = self.object.get("cursors")
        return cursors.get(name) if isinstance(cursors, dict) else None

    def refuse(self, what: str) -> NoReturn:
        """Fail, as the answer is of no use."""
        raise SourceError(f"spotify: GET {http.shown(self.response.url)}: {what}")


@dataclass(frozen=True)
class Listing:
    """A list as it was read: its entries, whether they are all there were while it was read, and when."""

    rows: list[Row]
    whole: bool
    at: datetime


def listing(pages: Iterator[Page], told: Any = dict) -> Listing:
    """A list that is counted, to its end."""
    rows: list[Row] = []
    totals: set[int | None] = set()
    for page in pages:
        rows += map(told, page.items)
        totals.add(page.total)
    return Listing(rows, totals == {len(rows)}, page.sent_at)


def _reason(response: http.Response) -> Any:
    try:
        found = http.document(response)
    except ValueError:
        return None
    error = found.get("error") if isinstance(found, dict) else None
    return error.get("reason") if isinstance(error, dict) else None
