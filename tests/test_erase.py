"""`etl erase`: after it a search for the value over every table and file finds nothing, and all else is as it was."""

from __future__ import annotations

import io
import json
import re
from contextlib import closing
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dlt.common.versioned_state import decompress_state

from pipelines import environment as environments
from pipelines.erase import objects
from pipelines.erase.duckdb_file import rewrite
from pipelines.erase.raw_rows import RawRows
from pipelines.erase.remembered import without
from pipelines.erase.sought import ERASED, sought
from pipelines.errors import EtlError, UsageError
from pipelines.ledger import open_ledger
from pipelines.order import Order, settle
from pipelines.specs import spec as specs
from pipelines.specs.types import Subject
from pipelines.working import open_pipeline
from sandbox.server import Sandbox
from tests import killed
from tests.clouds.gcs import GCS
from tests.clouds.project import Project
from tests.killed import At
from tests.postgres_server import database
from tests.toys import rows, toy
from tests.warehouse import Ask, contents, faults
from tests.workspace import Workspace

PHONE, OTHER = "+33612345678", "+33698765432"
NUMBER = "6 ?12 ?34 ?56 ?78"
SPEC = """\
name: calls
about: Calls for tests.
python: {}
subjects:
  phone:
    rows: [calls.phone, calls.url, labels__numbers.value]
    cells: [labels.note, labels.told]
    objects: [calls.object_key]
"""
SOURCE = '''\
"""Calls with lists in lists, remembered by phone; a line that is no call fails."""

import json
from pathlib import Path

import dlt

from sources.kit import notices


@dlt.source(name="calls", section="calls")
def calls(rows_file: str = dlt.config.value, only: str = ""):
    yield _calls(rows_file, only)
    yield labels(rows_file)


@dlt.resource(name="calls", primary_key="id", write_disposition="merge", columns={"length": {"data_type": "double"}})
def _calls(rows_file, only):
    seen = dlt.current.resource_state().setdefault("phones", {})
    for row in json.loads(Path(rows_file).read_text())["calls"]:
        if row.get("fails"):
            yield notices.failed(row["phone"], "hung up")
            continue
        if row.get("refused"):
            yield notices.rejected(row, "is odd", row["refused"])
            continue
        seen[row["phone"]] = {"last": row["id"], "urls": [row["url"]]}
        yield [row]


@dlt.resource(primary_key="id", write_disposition="merge", columns={"told": {"data_type": "json"}})
def labels(rows_file):
    yield json.loads(Path(rows_file).read_text())["labels"]
'''


def call(id: int, phone: str, **extra: Any) -> dict[str, Any]:
    name = f"{phone.removeprefix('+')}_{id}.ogg"
    legs = [{"to": "desk", "said": [{"word": f"hello {phone}"}, {"word": "bye"}]}]
    return {
        "id": id,
        "phone": phone,
        "url": f"https://v.test/{name}",
        "object_key": f"a/{phone}/{name}",
        "legs": legs,
        **extra,
    }


CALLS = [
    call(1, PHONE, length=1.5),
    call(2, OTHER, length=2.5),
    call(3, "0033 6 12 34 56 78"),
    call(4, OTHER, url=f"https://v.test/33612345678_{OTHER}.ogg", legs=[]),
    call(5, PHONE, length="long"),
    call(6, OTHER, length="short"),
    {"phone": PHONE, "fails": True},
    {"phone": OTHER, "fails": True},
]
LABELS = [
    {"id": 1, "note": f"call {PHONE} back", "numbers": [PHONE, OTHER], "told": {"by": [PHONE]}},
    {"id": 2, "note": f"call {OTHER} back", "numbers": [OTHER], "told": {"by": [OTHER]}},
]


@pytest.fixture
def made(workspace) -> Workspace:
    """The spec and its source; its rows stand in a file of the user."""
    made: Workspace = workspace()
    made.write("specs/calls.yaml", SPEC)
    made.write("sources/calls.py", SOURCE)
    file = made.write("calls.json", json.dumps({"calls": CALLS, "labels": LABELS}))
    made.variables["SOURCES__CALLS__ROWS_FILE"] = str(file)
    audio(made)
    return made


def audio(made: Workspace) -> None:
    """An object for each call that can be loaded."""
    for each in CALLS[:4]:
        made.write(f"audio/{each['object_key']}", "sound")


def give(made: Workspace, calls: list[Any]) -> str:
    """Let the source read these calls; returns what it read before."""
    file = made.root / "calls.json"
    before = file.read_text()
    file.write_text(json.dumps({"calls": calls, "labels": LABELS}))
    return before


def erase(made: Workspace, *words: str, env: str = "test", code: int = 0) -> dict[str, Any]:
    result = made.etl("erase", *words, "--env", env, "--yes", "--output", "json")
    assert result.code == code, result
    found: dict[str, Any] = result.json
    return found


def plant(made: Workspace) -> None:
    """The value in a package that waits, in a spool, and in the command that a failed run tells to repeat."""
    everything = give(made, CALLS[:1])
    assert made.etl("run", "calls", "--env", "test").code == 0
    (made.root / "calls.json").write_text(everything)
    assert made.etl("run", "calls", "--env", "test", "--with", f"only={PHONE},x").code == 3
    environment, spec = environments.load(made.root, "test"), specs.load(made.root, "calls")
    settle(environment, spec, Order())
    pipeline = open_pipeline(environment, spec)
    rows = [call(7, PHONE), {"id": 8}]
    pipeline.extract(rows, table_name="calls", primary_key="id", write_disposition="merge")
    pipeline.deactivate()
    with open_ledger(environment, "tokens") as ledger:
        for account in (PHONE, OTHER):
            made.write(f".dlt/tokens/test/calls.{account}.json", "{}")
            made.write(f".dlt/tokens/test/calls.{account}.json.lock", "")
            made.write(f".dlt/tokens/test/calls.{account}.unsaved", "{}")
            ledger.execute("INSERT INTO {tokens} (spec, account, payload) VALUES ('calls', %s, 'x')", account)
    made.write(".dlt/tokens/test/calls.json", json.dumps({"access_token": "x", "owner": PHONE}))
    spooled = {
        "spec": "calls",
        "resource": "calls",
        "reason": "is odd",
        "place": "",
        "payload": json.dumps({"p": PHONE}),
    }
    for spool in ("quarantine/calls/dead.jsonl", "scratch/replay.jsonl"):
        made.write(f".dlt/state/test/{spool}", json.dumps(spooled) + "\n")


def occurrences(made: Workspace) -> set[str]:
    """Every file of the workspace that has the number in its bytes or its name, the user's left out."""
    files = [file for file in made.root.rglob("*") if file.is_file() and file.name not in ("calls.json", "calls.yaml")]
    found = {file for file in files if re.search(NUMBER, read(file))}
    return {str(path.relative_to(made.root)) for path in {*found, *made.root.rglob("*612345678*")}}


def read(file: Path) -> str:
    """What is in a file, unpacked."""
    return str(pq.read_table(file).to_pylist()) if file.suffix == ".parquet" else unpacked(file.read_bytes())


def unpacked(content: bytes) -> str:
    """The text of a file, which may be packed."""
    packing = "zstd" if content.startswith(b"\x28\xb5\x2f\xfd") else None
    with pa.input_stream(io.BytesIO(content), compression=packing) as stream:
        return bytes(stream.read()).decode(errors="replace")


def stored(ask: Ask, pattern: str, *datasets: str) -> list[str]:
    """Every row of every table in which a pattern occurs, packed states unpacked."""
    return [
        f"{dataset}.{table}: {row}"
        for dataset in (*datasets, *(f"{each}_staging" for each in datasets), "_etl")
        for table in {table for table, _ in ask.columns(dataset)}
        for row in ask(f'SELECT * FROM {dataset}."{table}"')
        if re.search(pattern, " ".join(map(_unpacked, row)), re.I)
    ]


def _unpacked(cell: Any) -> str:
    """A cell as text; dlt packs a state, which is the only long text here that begins so."""
    packed = isinstance(cell, str) and cell.startswith("eJ") and len(cell) > 100
    return json.dumps(decompress_state(cell)) if packed else str(cell)


def of_others(made: Workspace) -> dict[str, Any]:
    """The rows about the other number, and those about nobody."""
    found = contents(Ask(made), "calls")
    theirs = {
        table: [row for row in rows if OTHER in str(row) and "612345678" not in str(row)]
        for table, rows in found.items()
    }
    return {**theirs, "labels": [], "labels of all": made.query("SELECT id FROM calls.labels ORDER BY id")}


def test_it_is_gone_from_every_table_and_file(made: Workspace):
    plant(made)
    before = of_others(made)
    assert len(occurrences(made)) > 5
    assert made.query("SELECT count(*) FROM calls.calls") == [(4,)]
    found = erase(made, "--phone", "0033 6 12-34-56-78")
    assert found["counts"]["calls"] == {
        "objects in audio": 3, "calls__legs__said": 6, "calls__legs": 3, "calls": 4, "labels__numbers": 1,
        "labels.note": 1, "labels.told": 1, "state": 2, "_etl.quarantine": 2, "_etl.tokens": 1, "sign-ins": 2,
        "files in runs/": 2,
    }  # fmt: skip
    assert (found["left"]["calls"], occurrences(made), stored(Ask(made), NUMBER, "calls")) == ({}, set(), [])
    assert made.query("SELECT id FROM calls.calls ORDER BY id") == [(2,), (8,)]
    assert of_others(made) == before
    assert faults(Ask(made), "calls") == []
    assert made.query("SELECT id, note FROM calls.labels ORDER BY id") == [(1, ERASED), (2, LABELS[1]["note"])]
    assert [file.name for file in (made.root / "audio").rglob("*.ogg")] == ["33698765432_2.ogg"]
    assert [file.name for file in (made.root / ".dlt/tokens/test").glob("*.json")] == [f"calls.{OTHER}.json"]


PHONES = [
    "+33612345678",
    "0033612345678",
    "33612345678",
    "tel:+33 6 12.34(56)78",
    "/33612345678_1.ogg",
    '"%2B33612345678"',
]
NO_PHONES = ["336123456789", "1+33612345678"[0:1] + "33612345678", "3361234567", "33612345678901"]
NAMES = [
    "erik",
    "ERIK",
    '{"name":"Erik"}',
    "/player/erik/games",
    "%2Ferik?x",
    '[White "Erik"]',
    "a\\nerik",
    "erik,hikaru",
    "erik.",
]
NO_NAMES = ["erika", "big_erik", "erik-2", "jérik", "derik"]
MAILS = ["me@x.org", "ME@X.ORG", "/me%40x.org/", "write to me@x.org."]
NO_MAILS = ["so.me@x.org", "me@x.org.uk", "a+me@x.org"]
OCCURRENCES = [
    *(("phone", "+33 6 12 34 56 78", text, True) for text in PHONES),
    *(("phone", "0033612345678", text, False) for text in NO_PHONES),
    *(("player", "Erik", text, True) for text in NAMES),
    *(("player", "erik", text, False) for text in NO_NAMES),
    *(("account", "me@x.org", text, True) for text in MAILS),
    *(("account", "me@x.org", text, False) for text in NO_MAILS),
    ("account", "José", '"Jos\\u00e9"', True),
    ("device", "AA:01", "AA:01", True),
    ("device", "AA:01", "aa:01", False),
    ("device", "a.b", "axb", False),
]


def test_what_an_occurrence_is(postgres_url: str):
    """The same in Python, DuckDB and Postgres."""
    with closing(psycopg2.connect(postgres_url)) as connection, connection.cursor() as cursor:
        for kind, value, text, expected in OCCURRENCES:
            found = sought(kind, value)
            cursor.execute("SELECT %s ~ %s", (text, found.sql))
            in_postgres = cursor.fetchone()[0]
            in_duckdb = duckdb.execute("SELECT regexp_matches(?, ?)", [text, found.sql]).fetchone()[0]
            assert (text, found.stands_in(text), in_duckdb, in_postgres) == (text, *[expected] * 3)
            assert (found.scrubbed(text) != text) == expected
            assert value not in repr(found)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("phone", ""), ("phone", "+33 61"), ("phone", "call me"), ("player", ""), ("player", " ab "), ("device", "12")],
)
def test_a_value_that_would_match_too_much_is_refused(kind: str, value: str):
    with pytest.raises(UsageError, match=f"--{kind}: expected"):
        sought(kind, value)


def test_each_occurrence_is_overwritten():
    assert sought("player", "erik").scrubbed("erik,Erik erika") == f"{ERASED},{ERASED} erika"
    document = {"erik": [{"a": "x erik"}, 33612345678, None, 1.5]}
    assert sought("player", "erik").scrubbed_document(document)[ERASED][0] == {"a": f"x {ERASED}"}
    assert sought("phone", PHONE).scrubbed_document(document)["erik"][1] == ERASED


def test_a_state_loses_the_partition_alone():
    state = {
        "players": {"erik": {"etag": "1"}, "anna": {"listed": ["/player/erik", "/player/bo"], "moved": "/player/Erik"}},
        "incremental": {"name": {"initial_value": None, "last_value": "Erik"}, "id": {"last_value": 4}},
    }
    left = {"players": {"anna": {"listed": ["/player/bo"]}}, "incremental": {"id": {"last_value": 4}}}
    assert without(state, sought("player", "erik")) == left


def test_a_dry_run_counts_the_same_and_the_receipt_does_not_name_whom(made: Workspace, monkeypatch):
    made.etl("run", "calls", "--env", "test")
    made.write("exports/test/calls/calls.csv", PHONE)
    before = {file: file.read_bytes() for file in made.root.rglob("*") if file.is_file()}
    dry = made.etl("erase", "--phone", PHONE, "--dry-run", "--env", "test", "--output", "json")
    assert {file: file.read_bytes() for file in made.root.rglob("*") if file.is_file()} == before
    assert (dry.code, dry.json["erasure"]) == (0, None)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PHONE}\n"))
    result = made.etl("--log-level", "debug", "erase", "calls", "--phone", "-", "--env", "test", "--yes")
    assert "calls.json: holds the value; it is yours" in result.err
    assert "calls: its upstream was asked to erase nothing; what it still has comes back when" in result.err
    assert "exports/test/calls: was not looked into; write it again with etl export calls --env test" in result.err
    assert all(line in result.err for line in dry.json["yours"])
    assert not re.search(NUMBER, result.out + result.err)
    ((id, kind, environment, ended, counts),) = made.query(
        "SELECT id, kind, environment, finished_at >= started_at, counts FROM _etl.erasures"
    )
    assert (kind, environment, ended, json.loads(counts)) == ("phone", "test", True, dry.json["counts"])
    assert result.out.endswith(f"receipt {id}\n")
    again = made.etl("erase", "--phone", PHONE, "--env", "test", "--yes")
    assert (again.code, again.out) == (0, "nothing found\n")
    assert made.query("SELECT count(*) FROM _etl.erasures") == [(1,)]


def test_where_nothing_ran_nothing_is_found_or_made(made: Workspace):
    for words in (("--dry-run",), ("--yes",)):
        result = made.etl("erase", "--phone", PHONE, "--env", "test", *words)
        assert (result.code, result.out, (made.root / "warehouse.duckdb").exists()) == (0, "nothing found\n", False)


REFUSED = [
    (["--phone", PHONE, "--player", "erik"], "give exactly one of: --phone, --device, --account, --player, --expired"),
    ([], "give exactly one of: --phone, --device, --account, --player, --expired"),
    (["--phone", ""], "--phone: expected a number of at least 6 digits, such as +33 6 12 34 56 78"),
    (["--player", "erik"], "specs/: no subjects say where a player stands; write them, see docs/spec.md"),
    (["calls", "--player", "erik"], "calls: subjects say nothing of a player; leave it out, or write them"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_meant_is_refused(made: Workspace, words: list[str], message: str):
    result = made.etl("erase", *words, "--env", "test", "--yes")
    assert (result.code, result.err) == (2, f"{message}\n")


def test_it_asks_first(made: Workspace):
    result = made.etl("erase", "--phone", PHONE, "--env", "test")
    assert (result.code, result.err) == (
        2,
        "erase deletes all of one phone in environment 'test': add --yes to confirm\n",
    )


SUBJECTS = [
    ("rows: [callz.phone]", "no such table (did you mean 'calls'?); the spec writes: calls, labels"),
    ("rows: [phone]", "expected a table and a column as loaded, e.g. games.white__username"),
    ("rows: []", "expected at least 1 item, got 0"),
    ("rows: [calls.phone]\n    known_by: [calls.note]", "rows does not name it, so that no row would ever be deleted"),
    ("rows: [calls.phone]\n    objects: [labels.key]", "rows names no column of this table, so that no object of it"),
]


@pytest.mark.parametrize(("text", "message"), SUBJECTS)
def test_wrong_subjects_are_told(made: Workspace, text: str, message: str):
    made.write("specs/calls.yaml", f"{SPEC.split('subjects')[0]}subjects:\n  phone:\n    {text}\n")
    result = made.etl("validate", "calls")
    assert (result.code, message in result.out) == (2, True)


MOMENTS = [
    At("pipelines.erase.raw_files:RawFiles._tell", "after"),
    At("pipelines.erase.raw_files:RawFiles._tell", "before", 2),
    At("pipelines.erase.objects:erase", "after"),
    At("pipelines.erase.remembered:erase", "after"),
    At("pipelines.erase.duckdb_file:_refuse_loss", "after"),
]


def test_killed_at_any_step_it_is_finished_by_the_next(made: Workspace):
    """Each call is killed a step further on; raw files are such that a rebuild can read them."""
    raw(made).etl("run", "calls", "--env", "test")
    for moment in MOMENTS:
        killed.killed(made, moment, "erase", "--phone", PHONE, "--env", "test", "--yes")
    erase(made, "--phone", PHONE)
    assert (occurrences(made), stored(Ask(made), NUMBER, "calls")) == (set(), [])
    assert made.query("SELECT count(*) FROM _etl.erasures WHERE finished_at IS NULL") == [(len(MOMENTS),)]
    made.etl("rebuild", "calls", "--env", "test", "--yes")
    assert made.query("SELECT id FROM calls.calls ORDER BY id") == [(2,)]
    assert made.query("SELECT value FROM calls.labels__numbers") == [(OTHER,)] * 2


def test_on_postgres_where_first_a_spec_does_not_name_a_column(made: Workspace, postgres_url: str):
    """A note of a label is a cell of the spec; without it the erasure is not whole, and says where."""
    made.postgres(postgres_url)
    audio(made)
    made.etl("run", "calls", "--env", "pg")
    made.write("specs/calls.yaml", SPEC.replace("labels.note, ", ""))
    ask = Ask(made, postgres_url)
    for words in (("--dry-run",), ("--yes",)):
        result = made.etl("erase", "--phone", PHONE, "--env", "pg", *words)
        assert (
            "calls: labels.note: the value stands in 1 row about others; name the column in its subjects" in result.err
        )
    assert (result.code, ask("SELECT note FROM calls.labels WHERE id = 1")) == (3, [(LABELS[0]["note"],)])
    made.write("specs/calls.yaml", SPEC)
    erase(made, "--phone", PHONE, env="pg")
    assert_erased(ask)


class InTwoDays(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> InTwoDays:
        return super().now(tz) + timedelta(days=2)


def test_on_bigquery_with_raw_files_in_a_bucket(made: Workspace, project: Project, monkeypatch):
    """Raw files are written anew there, too, and go when they are old, all but the mark and the sign."""
    made.bigquery(project.variables)
    audio(raw(made, "bq"))
    with GCS("lake") as service:
        made.variables |= {**service.variables("landing"), "DESTINATION__LANDING__BUCKET_URL": "gs://lake/a folder"}
        made.etl("run", "calls", "--env", "bq")
        service.buckets.put("lake", f"a folder/calls/archive/calls/{NAME}", f"{PHONE}\n".encode(), "text/plain")
        before = service.buckets.keys("lake")
        assert (len(before), len(stored(project.ask, NUMBER, "calls")) > 5) == (5, True)
        found = erase(made, "--phone", PHONE, env="bq")
        assert found["counts"]["calls"]["calls__legs__said"] == 4
        assert (found["counts"]["calls"]["raw rows in archive/calls"], found["left"]["calls"]) == (5, {})
        assert_erased(project.ask)
        held = {key: unpacked(service.buckets.get("lake", key).content) for key in service.buckets.keys("lake")}
        assert [key for key, text in held.items() if re.search(NUMBER, key + text)] == []
        assert list(held) == sorted(key.replace("33612345678", "erased") for key in before)
        file = made.root / "destinations.toml"
        file.write_text(f"{file.read_text()}[bq.retention]\narchive_days = 1\n")
        monkeypatch.setattr("pipelines.retention.datetime", InTwoDays)
        assert made.etl("erase", "--expired", "--yes", "--env", "bq").out.split()[-1] == "3"
        sign, mark = service.buckets.keys("lake")
        assert (Path(sign).suffix, mark) == (".landing", "a folder/calls/archive/_manifests/calls.expired.json")


def assert_erased(ask: Ask) -> None:
    assert stored(ask, NUMBER, "calls") == []
    assert ask("SELECT id FROM calls.calls") == [(2,)]
    assert faults(ask, "calls") == []


def raw(made: Workspace, env: str = "test") -> Workspace:
    """An environment that keeps raw files."""
    file = made.root / "destinations.toml"
    file.write_text(file.read_text().replace(f"[{env}]", f"[{env}]\nkeep_raw = true", 1))
    return made


NAME = "2024_01_01_00_00_x_33612345678_calls.jsonl"
STRANGE = [call(20, PHONE), call(21, OTHER)]


def test_raw_files_lose_it_and_make_the_same_tables(made: Workspace):
    """Archived, waiting, of a stranger's name, rejected; what waits is loaded, and a rebuild brings nothing back."""
    raw(made)
    give(made, [*CALLS[:4], call(5, PHONE, length="long")])
    assert made.etl("run", "calls", "--env", "test").code == 3
    give(made, [call(9, OTHER), call(10, PHONE)])
    assert made.etl("fetch", "calls", "--env", "test").code == 0
    lines = "".join(f"{json.dumps(row)}\n" for row in STRANGE)
    made.write(f"landing/calls/landing/{NAME}", lines)
    made.write("landing/calls/rejected/odd.jsonl", f"{json.dumps(STRANGE[0])}\nnot {PHONE}\nnot {OTHER}\n")
    made.write("landing/calls/rejected/odd.jsonl.error.json", json.dumps({"reason": f"{PHONE} is odd"}))
    assert len([name for name in occurrences(made) if name.startswith("landing")]) == 9
    found = erase(made, "--phone", PHONE)
    places = {place: n for place, n in found["counts"]["calls"].items() if "raw" in place}
    assert places == {
        "raw files' manifests": 2, "raw rows in landing": 3, "raw rows in archive/calls": 4,
        "raw rows in archive/labels": 1, "raw rows in rejected": 3,
    }  # fmt: skip
    assert (found["left"]["calls"], occurrences(made), stored(Ask(made), NUMBER, "calls")) == ({}, set(), [])
    assert made.etl("ingest", "calls", "--env", "test").code == 0
    assert made.query("SELECT id FROM calls.calls ORDER BY id") == [(2,), (9,), (21,)]
    assert json.loads(made.etl("state", "show", "calls", "--env", "test").out)["state"]["resources"]["calls"] == {
        "phones": {OTHER: {"last": 9, "urls": [call(9, OTHER)["url"]]}}
    }
    before = contents(Ask(made), "calls")
    assert made.etl("rebuild", "calls", "--env", "test", "--yes").code == 0
    assert (contents(Ask(made), "calls"), occurrences(made)) == (before, set())


def test_a_raw_file_that_nobody_can_read_is_told(made: Workspace):
    made.write("landing/calls/rejected/broken.jsonl.zst", "").write_bytes(b"\x28\xb5\x2f\xfd and no more")
    made.write(f"landing/calls/rejected/{PHONE[1:]}.zip", "").write_bytes(b"PK\3\4\xff")
    result = made.etl("erase", "--phone", PHONE, "--env", "test", "--yes")
    for name in ("broken.jsonl.zst", "erased.zip"):
        assert f"calls: rejected/{name} cannot be read, so nobody can tell" in result.err
    assert (result.code, list(made.root.glob("landing/**/*612345678*"))) == (3, [])


LINES = [
    (json.dumps({"phone": PHONE}).encode(), b""),
    (b"\xef\xbb\xbf" + json.dumps({"phone": OTHER, "l": [1, {"note": PHONE}]}).encode(), None),
    (
        json.dumps({"phone": OTHER, "note": PHONE, "h": "\ud83d"}).encode(),
        b'{"phone":"%s","note":"[erased]","h":"\\ud83d"}',
    ),
    (PHONE.encode("utf-16"), b""),
    (b"\xff " + PHONE.encode(), b""),
    (b"\xff no JSON", None),
]


@pytest.mark.parametrize(("line", "left"), LINES)
def test_a_line_of_a_raw_file(line: bytes, left: bytes | None):
    rows = RawRows(Subject(rows=["t.phone"], cells=["t.note"]), sought("phone", PHONE), "t")
    expected = line if left is None else left.replace(b"%s", OTHER.encode())
    assert (rows.line(line) or b"") == expected


def test_rows_of_a_raw_table():
    subject = Subject(rows=["t.phone"], cells=["t.note"])
    rows = RawRows(subject, sought("phone", PHONE), "t")
    notes = ["a", PHONE, None, f"of {PHONE}"]
    table = pa.table(
        {"Phone": [PHONE, OTHER, None, OTHER], "note": notes, "n": [1, 2, 3, 4], "l": [[], [], [], [PHONE]]}
    )
    kept = rows.table(table)
    assert kept.schema == table.schema
    assert kept.to_pydict() == {
        "Phone": [OTHER, None, OTHER],
        "note": [ERASED, None, ERASED],
        "n": [2, 3, 4],
        "l": [[], [], [PHONE]],
    }
    assert (rows.about, rows.left) == (3, 1)


def test_a_player_and_a_phone_of_the_specs(workspace, sandbox: Sandbox):
    """A game goes for both who played it; the other's rows stay, in raw files, too, and models are made of them."""
    made = raw(workspace("chess", "recordings"))
    (made.root / "models/recordings").unlink()  # it leads into the repository
    made.write("models/recordings/players.sql", "SELECT url, white__username FROM chess.games\n")
    made.point_at({**sandbox.settings("chess"), **sandbox.settings("recordings")})
    assert made.etl("run", "chess", "recordings", "--env", "test").code == 0
    ((phone, calls),) = made.query(
        "SELECT phone, count(*) FROM media_pipeline.recordings GROUP BY 1 ORDER BY 2 DESC LIMIT 1"
    )
    made.write("exports/test/recordings/players.csv", "demo_anna")
    before, models = contents(Ask(made), "chess"), ("played", "results_by_month")
    assert all(before.pop(model) for model in models)
    found = erase(made, "--player", "Demo_Anna")
    assert found["left"]["chess"] == {}
    assert any("SOURCES__CHESS__PLAYERS still asks for the value" in line for line in found["yours"])
    assert any(line.startswith("exports/test/recordings: was not looked into") for line in found["yours"])
    assert stored(Ask(made), r"demo_anna(?!\w)", "chess", "media_pipeline") == []
    theirs = {t: {r: n for r, n in rows.items() if "demo_anna" not in str(r).lower()} for t, rows in before.items()}
    after = contents(Ask(made), "chess")
    assert sum(after.pop("played").values()) == sum(theirs["games"].values()), "one of the two stays in each game"
    assert after.pop("results_by_month")
    assert {table: dict(rows) for table, rows in after.items()} == theirs
    assert all(theirs[table] for table in ("player_profile", "games", "clubs", "tournaments", "player_stats"))
    found = erase(made, "--phone", phone.replace("+", "00"), code=3)
    assert found["lists"], "the next run would bring it back"
    assert found["counts"]["recordings"] == found["counts"]["recordings"] | {
        "recordings": calls, "raw rows in archive/recordings": calls,
    }  # fmt: skip
    assert stored(Ask(made), phone[1:], "media_pipeline") == []
    files = [file for file in (made.root / "landing").rglob("*") if file.is_file()]
    assert [file for file in files if re.search(rf"(?i)demo_anna(?!\w)|{phone[1:]}", read(file))] == []


def test_a_list_that_only_the_command_line_named_is_told(made: Workspace):
    """Rows and quarantine know the file; one that is mended, or out of reach, is told at most."""
    made.write("specs/calls.yaml", f"{SPEC}    files: [calls.list]\n")
    for number, name in enumerate(("a", "b", "c", "d")):
        of_list = {"list": f"lists/{name}.json"} if name < "d" else {"refused": f"lists/{name}.json:17"}
        rows = {"calls": [call(number, PHONE, **of_list)], "labels": []}
        file = made.write(f"lists/{name}.json", json.dumps(rows))
        made.etl("run", "calls", "--env", "test", "--with", f"rows_file={file}")
    made.write("lists/b.json", "mended")
    made.write("calls.json", "mended")
    (made.root / "lists/c.json").unlink()
    dry = made.etl("erase", "--phone", PHONE, "--env", "test", "--dry-run", "--output", "json").json
    found = erase(made, "--phone", PHONE, code=3)
    holding = [f"{made.root}/lists/{name}.json: holds the value; it is yours, so mend or delete it" for name in "da"]
    unseen = "lists/c.json: rows came from there; nobody looked into it, so do"
    assert (found["lists"], found["yours"]) == (holding, [unseen]) == (dry["lists"], dry["yours"])


LEFT_OVER = "models/calls/old.sql is gone, so nothing makes it anew; drop it"


def test_models_of_specs_that_read_each_other_and_one_that_is_gone(made: Workspace):
    """Each is made of what is left, in whatever order specs come; a table that nobody makes any more is told."""
    toy(made, rows(1), "also")
    made.write("models/calls/old.sql", "SELECT id, phone FROM calls\n")
    made.write("models/also/one.sql", "SELECT id, phone FROM calls.calls\n")
    assert made.etl("run", "calls", "also", "--env", "test").code == 3
    made.write("models/calls/two.sql", "SELECT id, phone FROM also.one\n")
    assert made.etl("models", "also", "calls", "--env", "test").code == 0
    made.write("models/also/three.sql", "SELECT id, phone FROM calls.two\n")
    assert made.etl("models", "also", "--env", "test").code == 0
    (made.root / "models/calls/old.sql").unlink()
    left = f"calls: calls.old: the value stands in 2 rows, and {LEFT_OVER}"
    for words, code in ((("--dry-run",), 0), (("--yes",), 3)):
        result = made.etl("erase", "calls", "--phone", PHONE, "--env", "test", *words)
        assert (result.code, [line for line in result.err.splitlines() if "stands in" in line]) == (
            code, [f"WARNING: {left}"],
        )  # fmt: skip
    assert made.query(
        "SELECT phone FROM also.one UNION SELECT phone FROM calls.two UNION SELECT phone FROM also.three"
    ) == [(OTHER,)]


def test_a_duckdb_file_is_what_it_was(tmp_path: Path):
    file = tmp_path / "it's a file.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("""
            CREATE SCHEMA z; CREATE SCHEMA a; CREATE SEQUENCE z.s START 5;
            CREATE TABLE z.t (id BIGINT PRIMARY KEY DEFAULT nextval('z.s'), n VARCHAR NOT NULL CHECK (n <> ''));
            COMMENT ON TABLE z.t IS 'things'; COMMENT ON COLUMN z.t.n IS 'name';
            CREATE VIEW a.v AS SELECT n FROM z.t; CREATE VIEW z.w AS SELECT * FROM a.v; CREATE INDEX i ON z.t (n);
            INSERT INTO z.t (n) VALUES ('kept'), ('secret value'); DELETE FROM z.t WHERE n LIKE 'secret%';
        """)
    before = _described(file)
    assert b"secret value" in file.read_bytes()
    link = tmp_path / "a link"
    link.symlink_to(file)
    (tmp_path / f"{file.name}.part.wal").write_text("of a copy that was cut off")
    rewrite(link)
    assert (_described(file), b"secret value" in file.read_bytes()) == (before, False)
    assert sorted(each.name for each in tmp_path.iterdir()) == [link.name, file.name]


def _described(file: Path) -> list[Any]:
    with duckdb.connect(str(file)) as connection:
        asked = [
            f"SELECT comment FROM duckdb_{kind}() WHERE NOT internal ORDER BY ALL"
            for kind in ("tables", "columns", "views")
        ]
        asked += [
            "SELECT sql FROM duckdb_tables() ORDER BY 1",
            "SELECT sql FROM duckdb_views() WHERE NOT internal ORDER BY 1",
        ]
        asked += ["SELECT sql FROM duckdb_indexes()", "SELECT last_value FROM duckdb_sequences()", "SELECT * FROM z.w"]
        return [connection.execute(each).fetchall() for each in asked]


def test_letters_have_two_cases_where_a_postgres_knows_but_a_to_z(postgres_server):
    with (
        database(postgres_server, locale="C") as url,
        closing(psycopg2.connect(url)) as found,
        found.cursor() as cursor,
    ):
        cursor.execute("SELECT 'x ÉMILE x' ~ %s, 'émile' ~ %s, 'ÉMILES' ~ %s", [sought("account", "Émile").sql] * 3)
        assert cursor.fetchall() == [(True, True, False)]


@pytest.mark.parametrize("key", ["s3://other/x.ogg", "/x.ogg", "../x.ogg", "x/../y.ogg", "./x.ogg", "x/./y.ogg"])
def test_nothing_is_erased_by_a_name_that_leads_elsewhere(key: str) -> None:
    with pytest.raises(EtlError, match=f"calls: {key} is no key below the root of audio; delete that object and"):
        objects._below_root("calls", "audio", key)
    assert objects._below_root("calls", "audio", "x/..y/...ogg") == "x/..y/...ogg"
