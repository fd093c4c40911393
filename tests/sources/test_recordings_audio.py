"""How the audio of listed recordings is named, and what its receipts say."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.kit.errors import BadSetting
from sources.kit.files import Stored
from sources.recordings.audio import RECEIPT, audio, clean, phone_folder

URL = "https://recordings.example.test/vr/PR_67ee516e.mp3"
SHA1 = hashlib.sha1(URL.encode()).hexdigest()
SECRET = "a secret of tests"
ROW: dict[str, Any] = {
    "url_sha1": SHA1,
    "url": URL,
    "recording_id": "ef2b83240984259190db5ea22dffb4bf",
    "phone": "+49 (150) 000-0001",
    "campaign_name": "Campaign A 28.05",
    "duration_seconds": 65.223,
    "started": datetime(2025, 6, 3, 7, 58, 0, 803000, UTC),
    "stopped": datetime(2025, 6, 3, 7, 59, 6, 26000, UTC),
    "source_row_id": 7,
    "index_in_phone": 3,
    "source_file": "calls.csv",
}
NAME = "20250603_075800__Campaign_A_28.05__ef2b83240984259190db5ea22dffb4bf.mp3"


def key(prefix: str = "audio", secret: str | None = None, **row: Any) -> str:
    files = audio(prefix, pseudonymise=secret is not None, pseudonym_secret=secret)
    return next(files.items([{**ROW, **row}])).key


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, f"audio/+491500000001/{NAME}"),
        ({"phone": "0150 1"}, f"audio/01501/{NAME}"),
        ({"phone": None}, f"audio/unknown_phone/{NAME}"),
        ({"phone": "+anonymous"}, f"audio/unknown_phone/{NAME}"),
        ({"phone": "../../etc/+1"}, f"audio/1/{NAME}"),
        ({"started": None}, f"audio/+491500000001/unknown{NAME[15:]}"),
        (
            {"started": datetime(2025, 6, 3, 9, 58, tzinfo=timezone(timedelta(hours=2)))},
            f"audio/+491500000001/{NAME}",
        ),
        ({"started": datetime(2025, 6, 3, 7, 58)}, f"audio/+491500000001/{NAME}"),
        ({"campaign_name": None}, f"audio/+491500000001/{NAME.replace('Campaign_A_28.05', 'unknown')}"),
        ({"campaign_name": "../.."}, f"audio/+491500000001/{NAME.replace('Campaign_A_28.05', 'unknown')}"),
        ({"recording_id": None}, f"audio/+491500000001/{NAME[:35]}{SHA1[:10]}.mp3"),
        ({"recording_id": "a/b"}, f"audio/+491500000001/{NAME[:35]}a_b_{SHA1[:10]}.mp3"),
        ({"recording_id": "a_b"}, f"audio/+491500000001/{NAME[:35]}a_b.mp3"),
    ],
)
def test_a_name_comes_from_the_row_alone(row: dict[str, Any], expected: str) -> None:
    assert key(**row) == expected


@pytest.mark.parametrize(
    ("prefix", "expected"), [("dexter-audio", "dexter-audio/"), ("/audio/dexter/", "audio/dexter/")]
)
def test_a_prefix_begins_the_name(prefix: str, expected: str) -> None:
    assert key(prefix) == f"{expected}+491500000001/{NAME}"


@pytest.mark.parametrize("prefix", ["", "/", "a//b", "a/../b", "./a", "a\\b", "a\nb", "a" * 251, "a/" * 300 + "a"])
def test_a_prefix_no_store_takes_is_refused(prefix: str) -> None:
    with pytest.raises(BadSetting, match=r"recordings\.b2_prefix: .* cannot begin the names of objects; use"):
        audio(prefix)


anything = st.one_of(st.none(), st.text(max_size=400))


@given(phone=anything, campaign=anything, recording=anything, secret=st.sampled_from([None, SECRET]))
def test_any_cell_gives_a_name_that_stores_take(
    phone: str | None, campaign: str | None, recording: str | None, secret: str | None
) -> None:
    made = key("p" * 250 + "/" + "q" * 250, secret, phone=phone, campaign_name=campaign, recording_id=recording)
    parts = made.split("/")
    assert len(made.encode()) <= 1024
    assert all(0 < len(part.encode()) <= 250 and part not in (".", "..") for part in parts)
    assert len(parts) == 4, "no cell adds a folder"
    assert made.isascii()
    assert made.isprintable()
    assert "\\" not in made


def test_names_of_two_recordings_of_one_moment_differ() -> None:
    ids = ["a/b", "a_b", "a b", None, "x" * 300, "x" * 301]
    rows = [{"recording_id": id_, "url_sha1": hashlib.sha1(str(n).encode()).hexdigest()} for n, id_ in enumerate(ids)]
    made = [key(**row) for row in rows]
    assert len(set(made)) == len(made)


def test_names_do_not_depend_on_the_slice_or_its_order() -> None:
    rows = [{**ROW, "url_sha1": f"{n:040x}", "recording_id": None, "index_in_phone": n} for n in range(4)]
    named = {tuple(sorted(item.key for item in audio().items(some))) for some in itertools.permutations(rows)}
    assert len(named) == 1
    assert next(audio().items(rows[2:])).key in next(iter(named))
    assert key(index_in_phone=1) == key(index_in_phone=99)


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"phone": "+491500000001"},
        {"campaign_name": "+49 150 0000001 back"},
        {"recording_id": "00491500000001_2025"},
        {"recording_id": "rec-0150.0000.001"},
    ],
)
def test_a_pseudonym_keeps_the_phone_out_of_the_name(row: dict[str, Any]) -> None:
    made = key(secret=SECRET, **row)
    assert "0000001" not in "".join(char for char in made if char.isdigit())
    assert made.split("/")[1] == "p_cf6694afa9017db07f3ce578"


def test_a_pseudonym_depends_on_the_secret_and_on_the_phone_alone() -> None:
    one = key(secret=SECRET).split("/")[1]
    assert key(secret=SECRET, phone="+491500000001", campaign_name="B").split("/")[1] == one
    assert key(secret=SECRET + "!").split("/")[1] != one
    assert key(secret=SECRET, phone="+491500000002").split("/")[1] != one
    assert key(secret=SECRET, phone=None).split("/")[1] == "unknown_phone"


@pytest.mark.parametrize("secret", [None, "", "too short"])
def test_a_pseudonym_needs_a_secret(secret: str | None) -> None:
    with pytest.raises(BadSetting, match=r"pseudonym_secret: pseudonymise needs a secret of at least 16 characters"):
        audio(pseudonymise=True, pseudonym_secret=secret)


def test_without_pseudonyms_no_secret_is_asked_for() -> None:
    assert key(secret=None) == key("audio")


def test_a_receipt_has_the_columns_of_its_table() -> None:
    files = audio()
    (item,) = files.items([ROW])
    stored = Stored(item.key, 1000, "ab" * 32, "audio/mpeg", datetime(2025, 7, 1, tzinfo=UTC), etag="e", codec="mp3")
    receipt = files.receipt(item, stored)
    assert {**dict.fromkeys(RECEIPT), **receipt} == {
        "phone": ROW["phone"],
        "campaign_name": "Campaign A 28.05",
        "recording_id": ROW["recording_id"],
        "url": URL,
        "url_sha1": SHA1,
        "content_sha256": "ab" * 32,
        "started": ROW["started"],
        "stopped": ROW["stopped"],
        "duration_seconds": 65.223,
        "index_in_phone": 3,
        "b2_object_key": f"audio/+491500000001/{NAME}",
        "local_path": None,
        "file_size_bytes": 1000,
        "source_table": None,
        "source_row_id": 7,
        "metadata": '{"codec":"mp3","content_type":"audio/mpeg","etag":"e"}',
        "created_at": datetime(2025, 7, 1, tzinfo=UTC),
    }
    assert (item.id, item.url, item.media, item.seconds) == (SHA1, URL, "mp3", 65.223)


@pytest.mark.parametrize(
    ("base_url", "url", "asked"),
    [
        (None, f"{URL}?a=b%2F#c", f"{URL}?a=b%2F#c"),
        ("http://127.0.0.1:9/vault", URL, "http://127.0.0.1:9/vault/vr/PR_67ee516e.mp3"),
        ("http://127.0.0.1:9/", f"{URL}?a=b%2F", "http://127.0.0.1:9/vr/PR_67ee516e.mp3?a=b%2F"),
    ],
)
def test_another_host_may_be_asked_and_the_row_keeps_its_url(base_url: str | None, url: str, asked: str) -> None:
    files = audio(base_url=base_url)
    (item,) = files.items([{**ROW, "url": url}])
    stored = Stored(item.key, 1, "ab" * 32, "audio/mpeg", datetime(2025, 7, 1, tzinfo=UTC))
    assert (item.url, files.receipt(item, stored)["url"]) == (asked, url)


def test_one_url_and_one_recording_are_one_file_each() -> None:
    assert audio().same == ("recording_id", "url")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a  b", "a_b"), ("._x_.", "x"), ("é", "unknown"), ("", "unknown"), (None, "unknown"), ("a+b-c.d", "a+b-c.d")],
)
def test_clean(text: str | None, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("phone", "expected"),
    [(" +1 2", "+12"), ("1+2", "12"), ("++12", "+12"), ("9" * 50, "9" * 40), ("", "unknown_phone")],
)
def test_phone_folder(phone: str, expected: str) -> None:
    assert phone_folder(phone) == expected
