"""The data sets, written by DuckDB from row numbers and their hashes: the same in every run, on every machine."""

from __future__ import annotations

from pathlib import Path

SEED = 20_251_121


def _number(salt: int, below: int) -> str:
    """A number from 0 up that looks random, from the row number `i`."""
    return f"(hash(i * 1000 + {salt} + {SEED}) % {below})::BIGINT"


def _time(milliseconds: str) -> str:
    return f"strftime(TIMESTAMP '2025-01-01' + to_milliseconds({milliseconds}), '%Y-%m-%dT%H:%M:%S.%gZ')"


_START = f"(i * 700 + {_number(1, 500)})"
_PHONE = f"'+4915550' || lpad({_number(2, 400_000)}::VARCHAR, 6, '0')"

FLAT = f"""
SELECT i AS id,
    {_PHONE} AS phone,
    CASE WHEN {_number(3, 10)} > 0 THEN 'agent ' || {_number(4, 300)} END AS agent,
    'campaign ' || {_number(5, 20)} AS campaign,
    {_time(_START)} AS started,
    {_time(f"{_START} + {_number(6, 900_000)}")} AS stopped,
    {_number(7, 1_200_000)} / 1000 AS seconds,
    {_number(8, 100_000)} / 10000 AS cost,
    {_number(9, 2)} = 1 AS answered,
    {_number(10, 5)} AS attempts,
    md5(i::VARCHAR) AS reference,
    'https://recordings.example.test/vr/' || md5('u' || i) || '.mp3' AS url
FROM range({{rows}}) AS rows(i)
"""
CALLS = f"""
SELECT md5(i::VARCHAR) AS recording_id,
    'https://recordings.example.test/vr/PR_' || md5('u' || i) || '.mp3' AS location,
    {_PHONE} AS phone,
    'campaign ' || {_number(5, 20)} AS campaign_name,
    {_number(7, 1_200_000)} / 1000 AS duration_seconds,
    {_time(_START)} AS started,
    {_time(f"{_START} + {_number(7, 1_200_000)}")} AS stopped
FROM range({{rows}}) AS rows(i)
"""
_ITEM = f"{{{{sku: 'p' || {_number(20, 5000)}, amount: {_number(21, 9)} + 1, price: {_number(22, 90_000)} / 100}}}}"
_TAG = f"{{{{name: 'tag ' || {_number(23, 50)}, weight: {_number(24, 1000)} / 1000}}}}"
NESTED = f"""
SELECT i AS id,
    {", ".join(f"{_number(30 + n, 10_000)} AS count_{n}" for n in range(8))},
    {", ".join(f"{_number(50 + n, 1_000_000)} / 1000 AS share_{n}" for n in range(6))},
    {", ".join(f"'word ' || {_number(70 + n, 2000)} AS word_{n}" for n in range(8))},
    {_time(_START)} AS changed,
    {_number(9, 2)} = 1 AS active,
    {{{{name: 'user ' || {_number(11, 5000)}, phone: {_PHONE}, score: {_number(12, 1000)} / 10}}}} AS owner,
    {{{{city: 'city ' || {_number(13, 900)}, code: lpad({_number(14, 99_999)}::VARCHAR, 5, '0')}}}} AS place,
    [{_ITEM}, {_ITEM.replace("'p'", "'q'")}] AS items,
    [{_TAG}, {_TAG.replace("'tag '", "'label '")}] AS tags
FROM range({{rows}}) AS rows(i)
"""
_LINK = "'https://api.example.test/v1/' || md5({0} || 'l')"
_ARTIST = (
    "{{{{external_urls: {{{{site: " + _LINK.format("i") + "}}}}, href: " + _LINK.format("i") + ", id: md5('a' || {0}), "
    "name: 'artist ' || {0}, type: 'artist', uri: 'spotify:artist:' || md5('a' || {0})}}}}"
)
_ARTISTS = f"[{_ARTIST.format(_number(80, 900))}, {_ARTIST.format(_number(81, 900))}]"
_IMAGE = "{{{{height: {0}, width: {0}, url: 'https://i.example.test/' || md5({0} || i)}}}}"
PLAYS = f"""
SELECT {_time("i * 61000")} AS played_at,
    {{{{type: 'playlist', href: {_LINK.format("i % 40")}, uri: 'spotify:playlist:' || md5('p' || i % 40),
       external_urls: {{{{site: {_LINK.format("i % 40")}}}}}}}}} AS context,
    {{{{id: md5('t' || i % 3000), name: 'track ' || (i % 3000), type: 'track',
       uri: 'spotify:track:' || md5('t' || i % 3000),
       href: {_LINK.format("i % 3000")}, duration_ms: {_number(82, 400_000)}, popularity: {_number(83, 100)},
       explicit: {_number(84, 9)} = 1, is_local: false, disc_number: 1, track_number: {_number(85, 14)} + 1,
       preview_url: {_LINK.format("i % 3000")}, external_ids: {{{{isrc: 'XX' || lpad((i % 3000)::VARCHAR, 10, '0')}}}},
       external_urls: {{{{site: {_LINK.format("i % 3000")}}}}}, available_markets: ['DE', 'FR', 'GB'],
       artists: {_ARTISTS},
       album: {{{{id: md5('b' || i % 700), name: 'album ' || (i % 700), album_type: 'album', type: 'album',
          uri: 'spotify:album:' || md5('b' || i % 700), href: {_LINK.format("i % 700")}, total_tracks: 12,
          release_date: '2019-05-17', release_date_precision: 'day',
          external_urls: {{{{site: {_LINK.format("i % 700")}}}}},
          available_markets: ['DE', 'FR', 'GB'], artists: {_ARTISTS},
          images: [{", ".join(_IMAGE.format(size) for size in (640, 300, 64))}]}}}}}}}} AS track
FROM range({{rows}}) AS rows(i)
"""


def plays(folder: Path, rows: int) -> None:
    """`plays.jsonl`: plays of tracks as Spotify's `recently-played` tells them, lists in three levels."""
    _copy(PLAYS.format(rows=rows), folder / "plays.jsonl", "FORMAT json")


def flat(folder: Path, rows: int) -> None:
    """`flat.csv`: twelve columns of a call, one agent in ten is empty."""
    _copy(FLAT.format(rows=rows), folder / "flat.csv", "HEADER")


def calls(folder: Path, rows: int) -> None:
    """`list.csv` as a vendor lists recordings, and `grown.csv`: the same with one per cent more at its end."""
    _copy(CALLS.format(rows=rows), folder / "list.csv", "HEADER")
    _copy(CALLS.format(rows=rows + max(1, rows // 100)), folder / "grown.csv", "HEADER")


def nested(folder: Path, rows: int) -> None:
    """`records.jsonl`: 30 fields, two structs, two lists of two; `changed.jsonl`: one per cent with a new value."""
    _copy(NESTED.format(rows=rows), folder / "records.jsonl", "FORMAT json")
    changed = NESTED.format(rows=max(1, rows // 100)).replace("SELECT i AS id", "SELECT i * 100 AS id", 1)
    _copy(f"SELECT * REPLACE (count_0 + 10000 AS count_0) FROM ({changed})", folder / "changed.jsonl", "FORMAT json")


def _copy(query: str, path: Path, options: str) -> None:
    import duckdb

    with duckdb.connect() as database:
        database.execute(f"COPY ({query}) TO '{path}' ({options})")
