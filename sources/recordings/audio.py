"""The audio of listed recordings: how its objects are named, and the rows that say it is stored.

An object is `<prefix>/<phone>/<started>__<campaign>__<recording>.mp3`, whatever list or run it comes from:
`started` is `%Y%m%d_%H%M%S` in UTC or `unknown`, `recording` the recording_id or, without one, 10 digits of the
`url_sha1`. Backblaze keeps names to 1,024 bytes and 250 between two slashes.

Two URLs with one recording_id are one file. Rows that an older program wrote count as well: they have the URL,
whatever their `url_sha1` looks like.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dlt.common import json
from dlt.common.typing import TSecretStrValue

from sources.kit.errors import BadSetting
from sources.kit.files import OF_SOUND, Columns, FileItem, Files, Lines, Row, Stored
from sources.kit.given import askable
from sources.kit.secrets import keep_out

NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-+]+")
NOT_IN_PREFIXES = re.compile(r"[\x00-\x1f\x7f\\]")
INDEX = re.compile(r"^[0-9]{4,}__")
LONGEST_PREFIX = 512  # bytes; what follows it takes less than 1,024 - 512
LONGEST_PART = 90  # characters of a campaign or a recording: with a start both stay below 250
LONGEST_PHONE = 40
TELL_PHONES = ("phone", "url", "recording_id", "campaign_name", "source_file")
SHORT = 10  # digits of a SHA-1 that tell URLs of one call apart
FEWEST_DIGITS = 7  # of a phone, its last ones: a name that has them tells whose it is
SHORTEST_SECRET = 16

RECEIPT: Any = {
    "phone": {"data_type": "text"},
    "campaign_name": {"data_type": "text"},
    "recording_id": {"data_type": "text"},
    "url": {"data_type": "text", "nullable": False},
    "url_sha1": {"data_type": "text", "nullable": False, "description": "key: SHA-1 of `url`"},
    "content_sha256": {"data_type": "text", "description": "of the object, as 64 hexadecimal digits"},
    "started": {"data_type": "timestamp", "description": "when the call began (UTC)"},
    "stopped": {"data_type": "timestamp", "description": "when it ended (UTC)"},
    "duration_seconds": {"data_type": "double", "description": "as the list has it"},
    "index_in_phone": {
        "data_type": "bigint",
        "precision": 32,
        "description": "from 1, among the recordings of its phone that were listed when it was stored, by `started`",
    },
    "b2_object_key": {"data_type": "text", "description": "the name of the object in its bucket"},
    "local_path": {"data_type": "text", "description": "always null: nothing is kept on the machine that runs"},
    "file_size_bytes": {"data_type": "bigint"},
    "source_table": {"data_type": "text", "description": "null, for whoever wants to say where rows come from"},
    "source_row_id": {"data_type": "bigint", "description": "`recordings_row_id` of the list"},
    "metadata": {"data_type": "json", "description": "what was found in the file, and its version in the bucket"},
    "created_at": {"data_type": "timestamp", "description": "when the object was stored (UTC)"},
}
LISTED = (
    "phone",
    "campaign_name",
    "recording_id",
    "url",
    "url_sha1",
    "started",
    "stopped",
    "duration_seconds",
    "index_in_phone",
    "source_row_id",
)  # what a receipt has of the list
FOUND = (*OF_SOUND, "content_type", "etag", "version")
POSTGRES = (
    "CREATE SCHEMA IF NOT EXISTS {dataset}",
    """CREATE TABLE IF NOT EXISTS {receipts} (
        id BIGSERIAL PRIMARY KEY,
        phone TEXT, campaign_name TEXT, recording_id TEXT,
        url TEXT NOT NULL, url_sha1 TEXT NOT NULL, content_sha256 TEXT,
        started TIMESTAMPTZ, stopped TIMESTAMPTZ, duration_seconds DOUBLE PRECISION, index_in_phone INTEGER,
        b2_object_key TEXT, local_path TEXT, file_size_bytes BIGINT,
        source_table TEXT, source_row_id BIGINT, metadata JSONB,
        created_at TIMESTAMPTZ NOT NULL DEFAULT now()
    )""",
    "CREATE UNIQUE INDEX IF NOT EXISTS audio_files_url_sha1 ON {receipts} (url_sha1)",
    "CREATE UNIQUE INDEX IF NOT EXISTS audio_files_recording_id ON {receipts} (recording_id)"
    " WHERE recording_id IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS audio_files_phone ON {receipts} (phone)",
    "CREATE INDEX IF NOT EXISTS audio_files_started ON {receipts} (started)",
    """CREATE TABLE IF NOT EXISTS {failures} (
        url_sha1 TEXT PRIMARY KEY, url TEXT,
        first_seen_at TIMESTAMPTZ, last_attempt_at TIMESTAMPTZ, attempts INTEGER,
        status TEXT, http_status INTEGER, error TEXT, ignore_until TIMESTAMPTZ
    )""",
    "ALTER TABLE {failures} ADD COLUMN IF NOT EXISTS first_error TEXT,"
    " ADD COLUMN IF NOT EXISTS quarantine_key TEXT, ADD COLUMN IF NOT EXISTS run_id TEXT",
)


@dataclass(frozen=True)
class Naming:
    """How objects are named; with a secret, phones give way to keyed hashes."""

    prefix: str
    secret: str | None

    def key(self, row: Row) -> str:
        """The name of a recording's object, from its row alone."""
        name = "__".join((_start(row["started"]), self._campaign(row), self._recording(row)))
        return f"{self.prefix}/{self._phone(row)}/{name}.mp3"

    def line(self, row: Row) -> dict[str, Any]:
        """A recording as the folder of a run has it; where phones give way, without what may tell one."""
        if self.secret is None:
            return {**row, "url": re.sub(r"(?<=://)[^/?#]*@", "…@", row["url"])}
        kept = {name: value for name, value in row.items() if name not in TELL_PHONES}
        return {**kept, "phone": self._phone(row)}

    def told(self, row: Row) -> str:
        """Which recording it is and where a list names it; where phones give way, not of which list."""
        of = row["source_file"] if self.secret is None else "its list"
        return f"{self._recording(row)}, line {row['source_line']} of {of}"

    def _phone(self, row: Row) -> str:
        if self.secret is None or not _digits(row["phone"]):
            return phone_folder(row["phone"])
        phone = phone_folder(row["phone"]).encode()
        return "p_" + hmac.new(self.secret.encode(), phone, hashlib.sha256).hexdigest()[:24]

    def _campaign(self, row: Row) -> str:
        campaign = row["campaign_name"]
        return "campaign" if self._tells_phone(row, campaign) else clean(campaign)[:LONGEST_PART].rstrip("._")

    def _recording(self, row: Row) -> str:
        """The recording_id, or what tells it from others where it cannot stand in a name as it is."""
        recording, short = row["recording_id"], str(row["url_sha1"])[:SHORT]
        if not recording or self._tells_phone(row, recording):
            return short
        cleaned = clean(recording)[:LONGEST_PART]
        return cleaned if cleaned == recording else f"{cleaned}_{short}"

    def _tells_phone(self, row: Row, text: str | None) -> bool:
        """Whether a text that stands in the name would tell the phone that the name is to keep back."""
        if self.secret is None:
            return False
        digits = _digits(row["phone"])[-FEWEST_DIGITS:]
        return len(digits) == FEWEST_DIGITS and digits in _digits(text)


def audio(
    b2_prefix: str = "audio",
    pseudonymise: bool = False,
    pseudonym_secret: TSecretStrValue | None = None,
    base_url: str | None = None,
    csv_path: str = "",
) -> Files:
    """The audio of the rows of `recordings`, as objects below `b2_prefix`.

    `pseudonymise` puts a keyed hash in the place of the phone in the names of objects. The key is the secret
    `pseudonym_secret`: with another one the same phone gets another name. `base_url` is asked in the place of the
    hosts that the lists name, say since the vendor has moved; the identity of a recording stays the URL in the list.
    """
    naming = Naming(_prefix(b2_prefix), _secret(pseudonym_secret) if pseudonymise else None)
    host = None if base_url is None else askable("recordings.base_url", base_url)

    def items(rows: Iterable[Row]) -> Iterator[FileItem]:
        for row in rows:
            yield FileItem(
                id=row["url_sha1"],
                url=_address(row["url"], host),
                key=naming.key(row),
                row=row,
                media="mp3",
                seconds=row["duration_seconds"],
            )

    return Files(
        identity="url_sha1",
        items=items,
        receipt=_receipt,
        columns=RECEIPT,
        same=("recording_id", "url"),
        when="started",
        names=("recording_id",),
        about=("phone",),
        told=naming.told,
        offline="://" not in csv_path.removeprefix("file://"),
        lines={"recordings": Lines("metadata_recordings.jsonl", naming.line)},
        named=Columns("b2_object_key", "file_size_bytes", "content_sha256", "created_at", "metadata.etag"),
        ranks={"index_in_phone": ("phone", ("started", "recording_id"))},
        tables={"postgres": POSTGRES},
        recognise=recognise,
        alike=without_index,
    )


def recognise(row: Row) -> str | None:
    """The whole `url_sha1` of a row that the original wrote: its first version kept ten digits of it.

    What its scheduler wrote to stop retries is no recording: its url is none, or its hash another one.
    """
    url, given = row.get("url") or "", row.get("url_sha1")
    whole = hashlib.sha1(url.encode()).hexdigest()
    return whole if re.match(r"https?://", url, re.I) and given in (whole, whole[:SHORT]) else None


def without_index(key: str) -> str:
    """Phone and name of an object; the original began names with a number that each run counted anew."""
    *_, phone, name = key.rsplit("/", 2) if "/" in key else ("", key)
    return f"{phone}/{INDEX.sub('', name)}"


def clean(text: str | None) -> str:
    """A text as part of a name: runs of what no tool likes become `_`, and none stands at an end."""
    return NOT_IN_NAMES.sub("_", text or "").strip("._") or "unknown"


def phone_folder(phone: str | None) -> str:
    """The digits of a phone, with the `+` it begins with."""
    digits = _digits(phone)[:LONGEST_PHONE]
    plus = "+" if (phone or "").lstrip().startswith("+") else ""
    return plus + digits if digits else "unknown_phone"


def _receipt(item: FileItem, stored: Stored) -> dict[str, Any]:
    told = stored.told()
    return {
        **{name: item.row.get(name) for name in LISTED},
        "b2_object_key": stored.key,
        "file_size_bytes": stored.bytes,
        "content_sha256": stored.sha256,
        "created_at": stored.stored_at,
        "metadata": json.dumps({name: told[name] for name in FOUND if told[name] is not None}),  # cheap to load
    }


def _address(url: str, host: str | None) -> str:
    """Where a URL of the list is asked for; one that is none stays as it is, and is refused by that."""
    found = re.match(r"[a-z]+://[^/?#]*([^#]*)", url, re.I)
    return url if host is None or found is None else f"{host}{found[1]}"


def _digits(text: str | None) -> str:
    return re.sub(r"[^0-9]", "", text or "")


def _start(started: datetime | None) -> str:
    if started is None:
        return "unknown"
    return (started.astimezone(UTC) if started.tzinfo else started).strftime("%Y%m%d_%H%M%S")


def _prefix(prefix: str) -> str:
    """Without slashes around it; BadSetting where Backblaze or a file system would not take it."""
    bare = prefix.strip("/")
    wrong = NOT_IN_PREFIXES.search(bare) or {"", ".", ".."} & set(bare.split("/"))
    if wrong or len(bare.encode()) > LONGEST_PREFIX or max(len(part.encode()) for part in bare.split("/")) > 250:
        raise BadSetting(
            f"recordings.b2_prefix: {prefix[:80]!r} cannot begin the names of objects; use e.g. audio/dexter"
        )
    return bare


def _secret(secret: str | None) -> str:
    if secret is None or len(secret) < SHORTEST_SECRET:
        raise BadSetting(
            "recordings.pseudonym_secret: pseudonymise needs a secret of at least "
            f"{SHORTEST_SECRET} characters, the same for good; put it under [sources.recordings] in .dlt/secrets.toml"
        )
    keep_out(secret)
    return secret
