"""Spinoco: completed calls, their recordings and transcripts, and the labels of skills, hashtags and users.

Docs:   https://help.spinoco.com; there is no public reference: what is known was read off clients and answers
Auth:   a token of a user, made in the administration of Spinoco (`token`, a secret).
Limits: none are told. 401 is a bad token, 404 on a transcript that there is none.
Cursor: per resource the highest `lastUpdate` read, less `overlap_minutes`; tasks come in its order. A call one of
        whose recordings is not there yet is looked at again, less and less often, for `patience_days`.

`detail.recordings` is a map by GUID and becomes rows. Epoch milliseconds leave as ISO 8601 in UTC. `call_id` and
`recording_id` are made once and stay (see `known`). The audio itself is moved by `audio`.
With `tag` the calls are those that the vendor keeps for it (`POST /task/sync/`), see `syncing`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import dlt
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from sources.kit import http, notices
from sources.kit.errors import BadSetting, SourceError
from sources.kit.given import askable, bound
from sources.kit.resources import Resource
from sources.spinoco.audio import audio as audio
from sources.spinoco.reading import Reading, is_task
from sources.spinoco.syncing import tagged
from sources.spinoco.tables import (
    CALL_RECORDINGS,
    CALLS,
    LABELS,
    TRANSCRIPTS,
    Row,
    announces_transcript,
    call,
    recording,
    recordings_of,
    transcript,
    unreadable_recordings,
)
from sources.spinoco.upstream import API, Upstream

REPLACED = {  # what this program calls otherwise, or does not need
    "api_base_url": "it is base_url here",
    "account_id": "leave it out: a token is of one account",
    "max_records": "use --limit N: the next N recordings that are not stored yet",
    "concurrency": "use transfers of the block files in specs/spinoco.yaml, or --transfers N",
    "temp_suffix": "leave it out: an object is there once it is whole and verified, and never under another name",
    "level": "use --log-level, or ETL_LOG_LEVEL",
    "format": "use --log-format json, or ETL_LOG_FORMAT",
    "metadata_calls": "leave it out: it is runs/<id>/data/metadata_call_tasks.jsonl",
    "metadata_recordings": "leave it out: it is runs/<id>/data/metadata_recordings.jsonl",
    "audio_dir": "set bucket_url of the environment's audio, or keep_audio = true for runs/<id>/data/audio",
    "run_mode": "use --mode backfill, incr or dry",
    "test_mode": "run against etl sandbox",
}
RESOURCES = {
    "calls": Resource("POST /task/query", "lastUpdate, less overlap_minutes"),
    "call_recordings": Resource("POST /task/query", "that of calls"),
    "transcripts": Resource("GET /task/transcription/{task}/{recording}", "that of calls"),
    "labels": Resource("GET /skill/labels, /hashtag/labels, /user/names", "a digest of what was told"),
}
LABELLED = {"skills": "/skill/labels", "hashtags": "/hashtag/labels", "users": "/user/names"}


@dlt.source(name="spinoco", section="spinoco", max_table_nesting=1)
def spinoco(
    token: TSecretStrValue = dlt.secrets.value,
    base_url: str = API,
    page_size: int = 50,
    since: str | None = None,
    until: str | None = None,
    overlap_minutes: float = 10,
    patience_days: float = 14,
    ask_every_transcript: bool = False,
    max_retry: int = 7,
    delay_seconds: float = 0.5,
    tag: str | None = None,
    skills_must: list[str] | None = None,
    skills_should: list[str] | None = None,
    skills_must_not: list[str] | None = None,
    hash_tags_must: list[str] | None = None,
    hash_tags_should: list[str] | None = None,
    hash_tags_must_not: list[str] | None = None,
) -> Iterable[DltResource]:
    """Four tables; `since` and `until` (ISO 8601, half-open) narrow the calls by their last update.

    A transcript is asked for where a task announces one, or for each recording. A request is repeated `max_retry`
    times, the first time after up to `delay_seconds`; `http.…` says more. The filters belong to `tag`.
    """
    if page_size < 1:
        raise BadSetting(f"spinoco: page_size: {page_size} is no number of tasks; use e.g. 50")
    session = http.open_session("spinoco", retry_post=True, max_attempts=max_retry + 1, backoff_seconds=delay_seconds)
    upstream = Upstream(askable("spinoco.base_url", base_url), token, page_size, session)
    overlap, patience = timedelta(minutes=overlap_minutes), timedelta(days=patience_days)
    begin, end = bound("spinoco.since", since), bound("spinoco.until", until)
    filters = {
        "skillsMust": skills_must,
        "skillsShould": skills_should,
        "skillsMustNot": skills_must_not,
        "hashTagsMust": hash_tags_must,
        "hashTagsShould": hash_tags_should,
        "hashTagsMustNot": hash_tags_must_not,
    }
    reading = Reading(upstream, begin, end, overlap, patience, tagged(upstream, tag, begin, filters))
    return (
        calls(reading),
        call_recordings(reading),
        transcripts(reading, ask_every_transcript),
        labels(upstream),
    )


@dlt.resource(write_disposition="merge", primary_key="spinoco_call_guid", columns=CALLS)
def calls(reading: Reading) -> Iterator[Any]:
    """One row per call."""
    for tasks in reading.batches():
        yield [_call(task, reading) for task in tasks]


@dlt.resource(write_disposition="merge", primary_key="spinoco_recording_id", columns=CALL_RECORDINGS)
def call_recordings(reading: Reading) -> Iterator[Any]:
    """One row per recording of a call, whether it can be had or not."""
    for tasks in reading.batches():
        yield [row for task in filter(is_task, tasks) for row in _recordings(task, reading)]


@dlt.resource(write_disposition="merge", primary_key="spinoco_recording_id", columns=TRANSCRIPTS)
def transcripts(reading: Reading, ask_every: bool) -> Iterator[Any]:
    """One row per transcript, its phrases in `transcripts__phrases`."""
    for tasks in reading.batches():
        yield [
            row
            for task in filter(is_task, tasks)
            for guid, told in recordings_of(task).items()
            if ask_every or announces_transcript(task, told)
            for row in _transcript(task, guid, reading)
        ]


@dlt.resource(write_disposition="merge", primary_key=("kind", "id"), columns=LABELS)
def labels(upstream: Upstream) -> Iterator[Any]:
    """One row per skill, hashtag and user; those that are in use no longer, too."""
    memory: dict[str, str] = dlt.current.resource_state()
    for kind, path in LABELLED.items():
        active, retired = upstream.labels(path, False), upstream.labels(path, True)
        if active is None or retired is None:
            yield notices.warning(f"spinoco.labels: no {kind} to be had; check whether the token may read {path}")
        elif memory.get(kind) != (digest := _digest({"active": active, "retired": retired})):
            every = {**retired, **active}
            yield [{"kind": kind, "id": i, "label": name, "deactivated": i not in active} for i, name in every.items()]
            memory[kind] = digest


def _call(task: Any, reading: Reading) -> Any:
    if is_task(task):
        return call(task, reading.known.call_id(task))
    said = isinstance(task, notices.Notice)
    return task if said else notices.rejected(task, "is no task with an id", "POST /task/query")


def _recordings(task: Row, reading: Reading) -> Iterator[Row]:
    call_id, numbered = reading.known.call_id(task), reading.known.recording_ids(task)
    for guid, told in recordings_of(task).items():
        yield recording(task, guid, told, call_id, numbered[guid])
    for guid, told in unreadable_recordings(task):
        yield notices.rejected({guid: told}, "is no object", f"recordings of {task['id']}")


def _transcript(task: Row, guid: str, reading: Reading) -> Iterator[Row]:
    try:
        told = reading.upstream.transcript(task["id"], guid)
    except SourceError as refused:
        if refused.kind != "failed":
            raise
        yield notices.failed(guid, str(refused))
        reading.come_again(task)
        return
    if told is not None:
        known = reading.known
        yield transcript(task, guid, told, known.call_id(task), known.recording_ids(task)[guid])


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
