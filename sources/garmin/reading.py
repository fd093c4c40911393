"""One run over all accounts: what is asked, the pages of rows that come of it, and what is remembered of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import tee
from typing import Any, TypeVar

import dlt

from sources.garmin import activities as acts
from sources.garmin.days import Memory, Span, Window, asked, failed
from sources.garmin.metrics import DATE, Metric, Table
from sources.garmin.moments import DAY
from sources.garmin.upstream import Account, GivenUp, Unanswered, checked
from sources.kit import notices
from sources.kit.errors import SignInNeeded, TryLater

ACCOUNT = "account"
FILLED, FAILED, UNREAD = "filled", "failed", "unread"  # days of which there are rows, or no answer, or an odd one
ODD = (AttributeError, LookupError, TypeError, ValueError)  # what reading an answer ends with that is as none was
Shared = TypeVar("Shared")


@dataclass(frozen=True)
class Told:
    """What an account answered to one request, or why there is no answer; `about` is the day, or the activity.

    `span` has the days that were asked for, where it was days; `again` names them, or the activity, to the next run.
    """

    account: str
    about: str
    item: str
    span: Span | None = None
    answer: Any = None
    failure: str = ""
    again: Any = None
    rows: list[Any] = field(default_factory=list)

    def read(self, table: Table) -> Told:
        """The same with the rows that a table takes from the answer; one that cannot be read is as good as none."""
        if self.failure or self.answer is None:
            return self
        try:
            return replace(self, rows=list(table.shape(self.answer, self.about)))
        except ODD as why:
            odd = f"answered with what cannot be read ({type(why).__name__}); the API may have changed"
            return replace(self, failure=odd)


@dataclass(frozen=True)
class Ended:
    """All of an account has been asked for: what the resource is to remember."""

    account: str
    memory: Memory
    recent: str = ""  # the first day that the next run asks for again


@dataclass(frozen=True)
class SignedOut:
    """A person must sign in to an account; the others are read."""

    reason: str

    @property
    def told(self) -> Iterator[SignedOut]:
        """The same as an answer."""
        yield self


@dataclass(frozen=True)
class Listed:
    """The activities of an account, or why they are not known."""

    account: Account
    span: Span
    found: list[Any] | None = None
    failure: str = ""

    @property
    def told(self) -> Iterator[Told | Ended]:
        """The same as an answer."""
        name = self.account.name
        item = f"{name} activities {self.span.unit}"
        yield Told(name, str(self.span.first), item, self.span, self.found, self.failure)
        if not self.failure:
            yield Ended(name, {"until": str(self.span.last)})


@dataclass(frozen=True)
class Reading:
    """The pages of every resource; what several are made of is asked for once."""

    accounts: list[Account]
    window: Window
    copies: dict[str, list[Iterator[Any]]] = field(default_factory=dict)

    def metric(self, metric: Metric, table: Table) -> Iterator[Any]:
        """A page for each answer of a metric."""
        users = _running(metric.tables)
        yield from self._pages(table, self._shared(metric.name, len(users), lambda: self._metric(metric, users)))

    def part(self, part: acts.Part, table: Table) -> Iterator[Any]:
        """A page for each activity that is new or has changed."""
        users = _running(part.tables)
        yield from self._pages(table, self._shared(part.name, len(users), lambda: self._part(part, users)))

    def activities(self) -> Iterator[Any]:
        """A page for each account."""
        for listed in self._listed():
            yield from self._pages(acts.ACTIVITIES, listed.told)

    def _pages(self, table: Table, told: Iterable[Told | Ended | SignedOut]) -> Iterator[Any]:
        for each in told:
            if isinstance(each, SignedOut):
                yield notices.signed_out(each.reason)
                continue
            memory = {} if self.window else _memory(table.name, each.account)
            if isinstance(each, Told):
                read = each.read(table)
                if read.failure and not each.failure:
                    memory.setdefault(UNREAD, []).append(each.again)
                page = _page(read)
                yield [*page, *_emptied(table, read, page, memory)]
            else:
                _remember(each, memory)

    def _metric(self, metric: Metric, users: list[str]) -> Iterator[Told | Ended | SignedOut]:
        for account in self.accounts:
            yield from self._unless_signed_out(self._of_account(account, metric, users))

    def _of_account(self, account: Account, metric: Metric, users: list[str]) -> Iterator[Told | Ended]:
        memories = [_memory(user, account.name) for user in users]
        span = self.window.of(memories, metric.look_back, account.today)
        missed = [] if self.window else failed(memories, span)
        now = asked(span, metric.days, metric.weekly) if metric.dated else [Span(span.last, span.last)]
        yield from self._asked(account, metric, [*missed, *now], len(missed), span.last)

    def _unless_signed_out(self, read: Iterator[Shared]) -> Iterator[Shared | SignedOut]:
        """What is read of an account; that a person must sign in to it keeps no other from being read."""
        try:
            yield from read
        except SignInNeeded as needed:
            if len(self.accounts) == 1:
                raise
            yield SignedOut(str(needed))

    def _asked(
        self, account: Account, metric: Metric, spans: list[Span], missed: int, until: date
    ) -> Iterator[Told | Ended]:
        """The answers about some days; after one that no other of the kind will be better than, no more is asked."""
        again: list[list[str]] = []
        paths = (metric.path.format(name=account.display_name, first=span.first, last=span.last) for span in spans)
        for span, ask in zip(spans, account.asked(paths, failed_before=missed), strict=False):
            item, days = f"{account.name} {metric.name} {span.unit}", span if metric.dated else None
            told = Told(account.name, str(span.first), item, days, again=[str(span.first), str(span.last)])
            try:
                answer = ask()
                account.refuse_stranger(answer)
                yield replace(told, answer=checked(answer, metric.kind))
            except Unanswered as why:
                self._refuse_silence(why)
                yield replace(told, failure=str(why))
                if why.lasting:
                    return
                again.append(told.again)
        recent = str(until - metric.look_back * DAY) if metric.dated else ""
        yield Ended(account.name, {"until": str(until), FAILED: again}, recent)

    def _refuse_silence(self, why: Unanswered) -> None:
        """Stop where what is given up is all that was asked for so far: then the upstream is down, not a part of it."""
        if isinstance(why, GivenUp) and not any(account.has_answered for account in self.accounts):
            raise TryLater(str(why))

    def _part(self, part: acts.Part, users: list[str]) -> Iterator[Told | Ended | SignedOut]:
        for listed in self._listed():
            if isinstance(listed, SignedOut):
                yield listed
            elif listed.found is not None:
                yield from self._unless_signed_out(self._of_activities(listed, part, users))

    def _of_activities(self, listed: Listed, part: acts.Part, users: list[str]) -> Iterator[Told | Ended]:
        account, span, found = listed.account, listed.span, listed.found or []
        memories = [{} if self.window else _memory(user, account.name) for user in users]
        wanted = list(dict.fromkeys(each for memory in memories for each in acts.changed(found, part, memory)))
        again: list[str] = []
        for activity, ask in zip(wanted, account.asked(map(part.path.format, wanted), acts.NONE_SUCH), strict=False):
            told = Told(account.name, activity, f"{account.name} {part.name} {activity}", again=activity)
            try:
                yield replace(told, answer=checked(ask(), part.kind))
            except Unanswered as why:
                self._refuse_silence(why)
                yield replace(told, failure=str(why))
                again.append(activity)
                if isinstance(why, GivenUp):
                    again += wanted[wanted.index(activity) + 1 :]
                    break
        seen = acts.seen(found, part, again, span.last)
        yield Ended(account.name, {"until": str(span.last), "seen": seen, FAILED: again})

    def _listed(self) -> Iterator[Listed | SignedOut]:
        """The activities of each account, listed once for all that are made of them."""
        parts = [users for part in acts.PARTS if (users := _running(part.tables))]
        own = _running([acts.ACTIVITIES])
        users = [user for each in (own, *parts) for user in each]
        return self._shared("list", len(own) + len(parts), lambda: self._lists(users))

    def _lists(self, users: list[str]) -> Iterator[Listed | SignedOut]:
        for account in self.accounts:
            yield from self._unless_signed_out(self._list(account, users))

    def _list(self, account: Account, users: list[str]) -> Iterator[Listed]:
        memories = [_memory(user, account.name) for user in users]
        span = self.window.of(memories, acts.LOOK_BACK, account.today)
        try:
            yield Listed(account, span, acts.listed(account, span) if span else [])
        except Unanswered as why:
            yield Listed(account, span, failure=str(why))

    def _shared(self, name: str, users: int, read: Callable[[], Iterator[Shared]]) -> Iterator[Shared]:
        """One of the copies, as many as there are users, of what is read."""
        copies = self.copies.setdefault(name, [])
        if not copies:
            copies += tee(read(), users)
        return copies.pop()


def _remember(ended: Ended, memory: Memory) -> None:
    """What the next run is to know of an account, and nothing else."""
    filled = [day for day in memory.get(FILLED, []) if day >= ended.recent]
    failed = [*ended.memory.get(FAILED, []), *memory.get(UNREAD, [])]
    kept = {**ended.memory, FILLED: filled, FAILED: failed}
    memory.clear()
    memory.update({name: value for name, value in kept.items() if value})


def _page(told: Told) -> list[Any]:
    """The rows of an answer, and what is to be said of it."""
    if told.failure:
        return [notices.failed(told.item, told.failure, told.span.unit if told.span else "", told.account)]
    rows = [row for row in told.rows if not getattr(row, "is_notice", False)]
    for row in told.rows:
        (row["row"] if getattr(row, "is_notice", False) else row)[ACCOUNT] = told.account
    return [*told.rows, *_covered(told, Counter(str(row.get(DATE)) for row in rows))]


def _emptied(table: Table, told: Told, page: list[Any], memory: Memory) -> list[Any]:
    """What takes away the rows of days that had some in the last run, and have none any more.

    Of an answer that cannot be read to its end nobody knows that.
    """
    if told.failure or told.span is None or not table.is_of_days:
        return []
    known = {*memory.get(FILLED, [])}
    is_read = not any(getattr(row, "is_notice", False) and row[notices.KEY] == "rejected" for row in page)
    asked = known & {str(day) for day in told.span.days} if is_read else set[str]()
    days = {str(row[DATE]) for row in page if not getattr(row, "is_notice", False) and row.get(DATE)}
    memory[FILLED] = sorted((known - asked) | days)
    return [{**table.removal(day), ACCOUNT: told.account} for day in sorted(asked - days)]


def _covered(told: Told, rows: Counter[Any]) -> Iterator[Any]:
    """Each day that was asked for, with its rows: of several at once some may have had none."""
    for day in told.span.days if told.span else ():
        yield notices.covered(str(day), rows[str(day)], told.account)


def _running(tables: Iterable[Table]) -> list[str]:
    """Those tables that this run reads."""
    chosen = dlt.current.source().selected_resources
    return [table.name for table in tables if table.name in chosen]


def _memory(resource: str, account: str) -> Memory:
    """What a resource remembers of an account."""
    accounts: dict[str, Memory] = dlt.current.resource_state(resource).setdefault("accounts", {})
    return accounts.setdefault(account, {})
