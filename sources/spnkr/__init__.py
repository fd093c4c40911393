"""Halo Infinite: the matches of some people with their statistics, ratings and films, and what the game says of them.

Docs:   none by 343; https://acurtis166.github.io/SPNKr/ describes the endpoints.
Auth:   an Azure app of one's own and a sign-in at Microsoft (`etl auth login spnkr`), or tokens out of a browser
        (`spartan_token`, `clearance_token`), which last four hours.
Limits: none published; five requests a second to each host (`http.requests_per_second`), four at once.
Cursor: per person the newest match up to which all was read, less two days; per match and part what became of it
        (`ledger`). A 404 on what is younger than three days says "not ready": the next run asks again.

Answers are loaded as they are, without a model that rejects what it does not know: a new medal, mode or field loads.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import dlt
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from sources.kit.errors import BadSetting
from sources.kit.halo.sign_in import SIGN_IN as SIGN_IN
from sources.kit.halo.sign_in import pasted
from sources.spnkr import snapshots, tables
from sources.spnkr.histories import MATCH_TYPES, Window
from sources.spnkr.people import People
from sources.spnkr.reading import TABLES, Reading
from sources.spnkr.told import RESOURCES as RESOURCES
from sources.spnkr.upstream import API, Upstream

RANKED_ARENA = "edfef3ac-9cbe-4fa2-b949-8f29deafd483"


@dlt.source(name="spnkr", section="spnkr", max_table_nesting=0)
def spnkr(
    players: list[str] = dlt.config.value,
    match_type: str = "all",
    matches_per_run: int = 2500,
    ranked_playlists: list[str] | None = None,
    language: str = "en-US",
    base_url: str = API,
    spartan_token: TSecretStrValue | None = None,
    clearance_token: TSecretStrValue | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Iterable[DltResource]:
    """A table for each part of a match, and some about people and the game.

    `players` are gamertags or XUIDs, `match_type` is all, matchmaking, custom or local. A run that has more than
    `matches_per_run` to read leaves the rest to the next. `since` and `until` (ISO 8601 with an offset, half-open)
    narrow the matches by their beginning; `{host}` in `base_url` stands for the first name of each host.
    """
    _check(match_type, matches_per_run)
    upstream = Upstream(base_url, language, SIGN_IN.signed(pasted(spartan_token, clearance_token)))
    people = People(upstream, players)
    window = Window(_bound("since", since), _bound("until", until))
    reading = Reading(upstream, people, match_type, matches_per_run, window)
    return (
        *(table.resource(reading.of(table.name)) for table in TABLES),
        tables.MATCH_COUNT.resource(snapshots.match_count(people)),
        tables.SERVICE_RECORDS.resource(snapshots.service_records(upstream, people)),
        tables.PLAYLIST_CSR.resource(snapshots.playlist_csr(upstream, people, ranked_playlists or [RANKED_ARENA])),
        tables.CAREER_PROGRESS.resource(snapshots.career_progress(upstream, people)),
        tables.MATCH_PRIVACY.resource(snapshots.match_privacy(upstream, people)),
        tables.OPERATIONS.resource(snapshots.operations(upstream, people)),
        tables.CUSTOMIZATION.resource(snapshots.customization(upstream, people)),
        tables.MEDALS.resource(snapshots.medals(upstream)),
        tables.MEDAL_LABELS.resource(snapshots.medal_labels(upstream)),
        tables.SEASONS.resource(snapshots.seasons(upstream)),
    )


def _check(match_type: str, matches_per_run: int) -> None:
    if match_type not in MATCH_TYPES:
        raise BadSetting(f"spnkr: match_type: {match_type!r} is none; use one of {', '.join(MATCH_TYPES)}")
    if matches_per_run < 1:
        raise BadSetting(f"spnkr: matches_per_run: {matches_per_run} is no number of matches; use e.g. 2500")


def _bound(name: str, text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise BadSetting(f"spnkr: {name}: {text!r} is no ISO 8601 time; write e.g. 2024-01-01T00:00:00Z") from None
    if moment and moment.tzinfo is None:
        raise BadSetting(f"spnkr: {name}: {text!r} has no offset from UTC; add one, e.g. Z")
    return moment
