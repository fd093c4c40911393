"""Stands in for two lists of GitHub's REST API: the releases and the issues of one repository.

No key. Pages of 30, at most 100, found by the Link header. `since` counts from `updated_at`, itself included.
Each day after the first brings a release and a few new issues, and changes some of the old ones.
Addresses inside the rows are those of the real service, as a proxy would leave them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

from sandbox.exchange import FIRST_NOON, Reply, Request, World, noon

API = "https://api.github.com/repos/example/sandbox"
SITE = "https://github.com/example/sandbox"
PEOPLE = ("demo-anna", "demo-boris", "demo-bot[bot]")
LABELS = ("bug", "enhancement", "question", "documentation")
MOODS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
HIGHEST_PAGE_SIZE = 100
FORBIDDEN = Reply(403, "Request forbidden by administrative rules. Please make a request with a User-Agent.")


@dataclass(frozen=True)
class Issue:
    """An issue as it stands; every third one is a pull request."""

    number: int
    title: str
    author: str
    created: datetime
    updated: datetime
    closed: datetime | None
    comments: int
    labels: tuple[str, ...]


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Where the lists are."""
    return {"sources.github.base_url": f"{base_url}/"}


def answer(request: Request, world: World) -> Reply:
    """Answer as the REST API does."""
    if not request.headers.get("user-agent"):
        return FORBIDDEN
    if request.method != "GET" or request.path not in LISTS:
        return Reply(
            404,
            {"message": "Not Found", "documentation_url": "https://docs.github.com/rest", "status": "404"},
        )
    return _page(request, LISTS[request.path](request, world))


def _page(request: Request, rows: list[dict[str, Any]]) -> Reply:
    size = min(_number(request, "per_page", 30), HIGHEST_PAGE_SIZE)
    page, last = _number(request, "page", 1), max(1, -(-len(rows) // size))
    others = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    shown = [
        name
        for name in others
        if (name in ("prev", "first") and page > 1) or (name in ("next", "last") and page < last)
    ]
    links = ", ".join(f'<{_address(request, others[name])}>; rel="{name}"' for name in shown)
    return Reply(200, rows[(page - 1) * size : page * size], {"Link": links} if links else {})


def _number(request: Request, name: str, otherwise: int) -> int:
    """A positive number of the query; GitHub overlooks what is none."""
    text = _word(request, name, "")
    return int(text) if text.isdecimal() and int(text) > 0 else otherwise


def _word(request: Request, name: str, otherwise: str) -> str:
    return request.query.get(name, [otherwise])[-1]


def _address(request: Request, page: int) -> str:
    query = urlencode({**request.query, "page": [str(page)]}, doseq=True)
    return f"http://{request.headers['host']}/github{request.path}?{query}"


def _releases(request: Request, world: World) -> list[dict[str, Any]]:
    """Newest first; the number follows from the size of the world."""
    count = max(3, world.records // 20)
    times = [FIRST_NOON - timedelta(days=14 * (count - n)) for n in range(count)]
    times += [noon(day) - timedelta(hours=2) for day in range(2, world.day + 1)]
    return [_release(world, number, at) for number, at in reversed(list(enumerate(times)))]


def _release(world: World, number: int, at: datetime) -> dict[str, Any]:
    tag = f"0.{number}.0"
    identity = 140_000_000 + number
    return {
        "url": f"{API}/releases/{identity}",
        "html_url": f"{SITE}/releases/tag/{tag}",
        "id": identity,
        "author": _person(PEOPLE[number % 2]),
        "node_id": f"RE_{identity:x}",
        "tag_name": tag,
        "target_commitish": "main",
        "name": tag,
        "draft": False,
        "immutable": False,
        "prerelease": number % 5 == 4,
        "created_at": _iso(at - timedelta(hours=1)),
        "updated_at": _iso(at),
        "published_at": _iso(at),
        "assets": [_asset(world, identity, tag, at)] if number % 2 else [],
        "tarball_url": f"{API}/tarball/{tag}",
        "zipball_url": f"{API}/zipball/{tag}",
        "body": f"## What changed\n\n* release {number} of the sandbox",
    }


def _asset(world: World, release: int, tag: str, at: datetime) -> dict[str, Any]:
    rng = world.random("github", "asset", tag)
    return {
        "url": f"{API}/releases/assets/{release + 1_000_000}",
        "id": release + 1_000_000,
        "name": f"sandbox-{tag}.tar.gz",
        "label": None,
        "uploader": _person(PEOPLE[2]),
        "content_type": "application/gzip",
        "state": "uploaded",
        "size": rng.randrange(10_000, 5_000_000),
        "digest": f"sha256:{rng.getrandbits(256):064x}",
        "download_count": rng.randrange(5000),
        "created_at": _iso(at),
        "updated_at": _iso(at),
        "browser_download_url": f"{SITE}/releases/download/{tag}/sandbox-{tag}.tar.gz",
    }


def _issues(request: Request, world: World) -> list[dict[str, Any]]:
    """Those that changed at or after `since`, in the state and order that were asked for."""
    state, since = _word(request, "state", "open"), _word(request, "since", "")
    chosen = [
        issue
        for issue in issues_of(world)
        if (not since or issue.updated >= datetime.fromisoformat(since)) and state in ("all", _state(issue))
    ]
    chosen.sort(key=_by_update if _word(request, "sort", "created") == "updated" else _by_number)
    return [_told(issue) for issue in (chosen if _word(request, "direction", "desc") == "asc" else reversed(chosen))]


def _by_update(issue: Issue) -> tuple[datetime, int]:
    return issue.updated, issue.number


def _by_number(issue: Issue) -> int:
    return issue.number


@lru_cache(maxsize=32)
def issues_of(world: World) -> tuple[Issue, ...]:
    """Every issue as the clock has it."""
    rng = world.random("github", "issues")
    starts = sorted(rng.randrange(60 * 86_400) for _ in range(world.records))
    issues = [_opened(rng, n, FIRST_NOON - timedelta(seconds=60 * 86_400 - at)) for n, at in enumerate(starts, 1)]
    for day in range(2, world.day + 1):
        _pass_a_day(issues, world.random("github", "day", day), day)
    return tuple(issues)


def _pass_a_day(issues: list[Issue], rng: Random, day: int) -> None:
    count = max(3, len(issues) // 100)
    for index in rng.sample(range(len(issues)), min(count, len(issues))):
        issues[index] = _touched(issues[index], rng, noon(day - 1) + timedelta(seconds=rng.randrange(1, 43_000)))
    for place in range(count):
        at = noon(day - 1) + timedelta(seconds=43_200 + place * 60 + rng.randrange(60))
        issues.append(replace(_opened(rng, len(issues) + 1, at), updated=at, closed=None))


def _opened(rng: Random, number: int, at: datetime) -> Issue:
    updated = at + (FIRST_NOON - at) * rng.random() if at < FIRST_NOON else at
    updated = updated.replace(microsecond=0)
    return Issue(
        number,
        f"Issue {number} – wörld",
        rng.choice(PEOPLE),
        at,
        updated,
        updated if rng.random() < 0.6 else None,
        rng.randrange(8),
        tuple(rng.sample(LABELS, rng.randrange(3))),
    )


def _touched(issue: Issue, rng: Random, at: datetime) -> Issue:
    return replace(issue, updated=at, closed=issue.closed or at, comments=issue.comments + 1, labels=LABELS[:1])


def _state(issue: Issue) -> str:
    return "closed" if issue.closed else "open"


def _told(issue: Issue) -> dict[str, Any]:
    address = f"{API}/issues/{issue.number}"
    is_pull = issue.number % 3 == 0
    return {
        "url": address,
        "repository_url": API,
        "comments_url": f"{address}/comments",
        "html_url": f"{SITE}/{'pull' if is_pull else 'issues'}/{issue.number}",
        "id": 2_000_000_000 + issue.number,
        "node_id": f"I_{issue.number:x}",
        "number": issue.number,
        "title": issue.title,
        "user": _person(issue.author),
        "labels": [_label(name) for name in issue.labels],
        "state": _state(issue),
        "locked": False,
        "assignee": None,
        "assignees": [],
        "milestone": None,
        "comments": issue.comments,
        "created_at": _iso(issue.created),
        "updated_at": _iso(issue.updated),
        "closed_at": _iso(issue.closed) if issue.closed else None,
        "author_association": "NONE",
        "active_lock_reason": None,
        **({"draft": False, "pull_request": _pull(issue)} if is_pull else {}),
        "body": None if issue.number % 7 == 0 else f"Something about {issue.title}.",
        "closed_by": _person(PEOPLE[0]) if issue.closed else None,
        "reactions": {"url": f"{address}/reactions", "total_count": 0, **dict.fromkeys(MOODS, 0)},
        "state_reason": "completed" if issue.closed and not is_pull else None,
    }


def _pull(issue: Issue) -> dict[str, Any]:
    return {
        "url": f"{API}/pulls/{issue.number}",
        "html_url": f"{SITE}/pull/{issue.number}",
        "diff_url": f"{SITE}/pull/{issue.number}.diff",
        "patch_url": f"{SITE}/pull/{issue.number}.patch",
        "merged_at": _iso(issue.closed) if issue.closed else None,
    }


def _label(name: str) -> dict[str, Any]:
    place = LABELS.index(name)
    return {
        "id": 500 + place,
        "name": name,
        "color": f"{place:06x}",
        "default": place < 2,
        "description": None,
    }


def _person(login: str) -> dict[str, Any]:
    return {
        "login": login,
        "id": 9_000 + PEOPLE.index(login),
        "url": f"https://api.github.com/users/{login}",
        "html_url": f"https://github.com/{login}",
        "type": "Bot" if login.endswith("[bot]") else "User",
        "site_admin": False,
    }


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


LISTS = {"/releases": _releases, "/issues": _issues}
