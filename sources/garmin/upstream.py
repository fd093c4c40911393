"""Garmin Connect over HTTP: who an account is, and its answers, several of them on their way at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cached_property
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sources.garmin.sign_in import SIGN_IN
from sources.kit import ahead, http, tokens
from sources.kit.errors import SourceError, TryLater

USER_AGENT = "GCM-Android-5.23"  # the app that the tokens are given to
FAILURES_IN_A_ROW = 3  # from then on it is no single day that the upstream cannot answer
NOTHING = (204, 205)
FORBIDDEN = 403
HIDDEN = (FORBIDDEN, 404)
LEAVE_OUT = "; what no account has can be left out with enabled: false in specs/garmin.yaml"


class Unanswered(Exception):
    """One request had no good answer; `lasting` where others like it will have none either."""

    def __init__(self, reason: str, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


class GivenUp(Unanswered):
    """As many in a row had no answer that nothing like them is asked for any more."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; {FAILURES_IN_A_ROW} in a row failed, and no more are asked for in this run", True)


class Account:
    """One account behind a session of its own."""

    def __init__(self, name: str, base_url: str, zone: ZoneInfo) -> None:
        self.name, self._base_url, self._zone = name, base_url, zone
        self.session = http.open_session("garmin", USER_AGENT, requests_per_second=4.0, max_attempts=5)
        self.session.auth = SIGN_IN.auth(name)
        self.has_answered = False  # anything but who it is

    @cached_property
    def _profile(self) -> http.Response:
        """Who it is: the first thing that is asked, so that a sign-in that has ended is known at once."""
        response = self.session.get(f"{self._base_url}/userprofile-service/socialProfile")
        http.raise_for_status(response)
        return response

    @cached_property
    def display_name(self) -> str:
        """What stands for the account in addresses."""
        profile = http.document(self._profile)
        name = profile.get("displayName") if isinstance(profile, dict) else None
        if not name:
            raise SourceError("garmin: the profile has no displayName; check base_url, the API may have changed")
        return quote(str(name), safe="")

    @property
    def today(self) -> date:
        """The day it is in its zone, by the upstream's clock."""
        return http.sent_at(self._profile).astimezone(self._zone).date()

    def asked(
        self, paths: Iterable[str], absent: tuple[int, ...] = NOTHING, failed_before: int = 0
    ) -> Iterator[Callable[[], Any]]:
        """For each path what gives its document, None where there is none; that may raise `Unanswered`.

        The first paths failed before: that they do so again says nothing about the upstream.
        """
        failures = -failed_before

        def document(ask: Callable[[], http.Response]) -> Any:
            nonlocal failures
            try:
                response = self._granted(ask(), absent)
            except (TryLater, Unanswered) as error:
                failures += 1
                if self.session.throttled:
                    raise
                is_lasting = getattr(error, "lasting", False)
                given_up = failures >= FAILURES_IN_A_ROW and not is_lasting
                raise GivenUp(str(error)) if given_up else Unanswered(str(error), is_lasting) from None
            failures = min(0, failures)
            found = None if response.status_code in absent else http.document(response) or None
            self.has_answered = True
            return found

        for ask in ahead.each(self.session, (self._base_url + path for path in paths)):
            yield lambda: document(ask)  # noqa: B023 - asked before the next

    def _granted(self, response: http.Response, absent: tuple[int, ...]) -> http.Response:
        """An answer with a document, or that says there is none; any other is an answer, too."""
        status = response.status_code
        if response.ok or status in absent:
            return response
        self.has_answered = True
        where = f"{http.shown(response.url)}: answered {status}"
        raise Unanswered(f"{where}{LEAVE_OUT if status in HIDDEN else ''}", lasting=status == FORBIDDEN)

    def refuse_stranger(self, answer: Any) -> None:
        """Stop where the answer is one that strangers get."""
        if isinstance(answer, dict) and answer.get("privacyProtected"):
            raise tokens.sign_in_needed("garmin", self.name, "is answered as a stranger is (privacyProtected)")


def checked(answer: Any, kind: type) -> Any:
    """A document that is of this kind, or none; `Unanswered` otherwise."""
    if answer is not None and not isinstance(answer, kind):
        raise Unanswered(f"answered with no {'list' if kind is list else 'object'}; the API may have changed")
    return answer
