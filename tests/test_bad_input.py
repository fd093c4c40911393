"""Bad input of every kind: one line, the right exit code, nothing half-loaded, and the next good run completes."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import psycopg2
import pytest

from tests import killed
from tests.passwords import ask, guarded_role
from tests.toys import rows, toy
from tests.workspace import REPOSITORY, Result, Workspace

SPEC = "name: toy\nabout: A source for tests.\npython: {}\n"
SOURCE = '''\
"""Rows that a test wrote down as Python."""

from functools import reduce

import dlt


@dlt.source(name="toy", section="toy")
def toy():
    @dlt.resource(primary_key="id", write_disposition="merge")
    def things():
        {body}

    return things
'''
GOOD = [{"id": 1, "of": "a good run"}]


@pytest.fixture
def bad(workspace):
    """A workspace whose source yields what `yields` writes down."""
    made = workspace()
    made.write("specs/toy.yaml", SPEC)
    return made


def yields(workspace: Workspace, *pages: str) -> None:
    """Write a source that yields these expressions, as a module of another name would be read anew."""
    body = "\n        ".join(page if page.startswith(("raise", "import")) else f"yield {page}" for page in pages)
    module(workspace, SOURCE.format(body=body))


def module(workspace: Workspace, text: str) -> None:
    """Write the source and forget the one that was read before."""
    workspace.write("sources/toy.py", text)
    shutil.rmtree(workspace.root / "sources" / "__pycache__", ignore_errors=True)
    sys.modules.pop("sources.toy", None)


def run(workspace: Workspace, *arguments: str, env: str = "test", **variables: str) -> Result:
    return workspace.etl("run", "toy", "--env", env, *arguments, **variables)


def says(result: Result, *parts: str) -> bool:
    """Whether stderr is one line that holds these parts; asserted piece by piece for a readable failure."""
    assert len(result.err.splitlines()) == 1, result.err
    for part in parts:
        assert part in result.err
    return True


def loads_well(workspace: Workspace, **more: str) -> None:
    """The next good run completes."""
    yields(workspace, repr(GOOD))
    result = run(workspace, **more)
    assert result.code == 0, result.err


def quarantine(workspace: Workspace, env: str = "test") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = workspace.etl("quarantine", "list", "--env", env, "--output", "json").json
    return listed


def deep(levels: int, around: str) -> str:
    return f"{{'id': 9, 'deep': reduce(lambda inner, _: {around}, range({levels}), 1)}}"


UNSTORABLE = [
    ("{'id': 9, 'n': 2**63}", "n: 9223372036854775808 does not fit into 64 bits"),
    ("{'id': 9, 'n': -(10**30)}", f"n: -{10**30} does not fit into 64 bits"),
    ("{'id': 9, 'a': {'b': [1, 2**64]}}", "a.b.*: 18446744073709551616 does not fit into 64 bits"),
    (r"{'id': 9, 't': 'a\ud800'}", "t: holds half a surrogate pair, which is not Unicode text"),
    (r"{'id': 9, 'x\udfff': 1}", r"the name 'x\udfff' holds half a surrogate pair, which is not Unicode text"),
    ("{'id': 9, '': 1}", "'' is no name"),
    (r"{'id': 9, 'n': 1, '\u00a0': 1}", r"'\xa0' is no name"),
    ("{'id': 9, 'in': {'': 1}}", "in: '' is no name"),
    ("{'id': 9, 2: 1}", "2 is no name, names are text"),
    ("{'id': 9, 's': {1, 2}}", "s: a set cannot be written as JSON"),
    ("{'id': 9, 'f': print}", "f: a builtin_function_or_method cannot be written as JSON"),
    ("{'id': 9, 'a b': 1, 'a-b': 2}", "a_b: 'a b' and 'a-b' both become this column"),
    ("{'id': 9, 'Name': 1, 'name': 2}", "name: 'Name' and 'name' both become this column"),
    (deep(300, "[inner]"), "deep: is nested more than 250 levels deep"),
    (deep(3000, "{'a': inner}"), "deep: is nested more than 250 levels deep"),
    ("{'of': 'no key'}", "id: is missing or null, and must not be"),
    ("{'id': None}", "id: is missing or null, and must not be"),
    ("3", "3 is not a row of named values"),
    ("'text'", "'text' is not a row of named values"),
    ("None", "None is not a row of named values"),
    ("[{'id': 9}]", "[{'id': 9}] is not a row of named values"),
]  # fmt: skip


def test_rows_that_cannot_be_stored_go_to_quarantine(bad):
    yields(bad, "[{'id': 7, 'of': 'good'}]", f"[{', '.join(row for row, _ in UNSTORABLE)}]")
    assert run(bad).code == 3
    assert bad.query("SELECT id, of FROM toy.things") == [(7, "good")]
    reasons = {entry["reason"] for entry in quarantine(bad)}
    assert reasons == {reason for _, reason in UNSTORABLE}
    shown = [bad.etl("quarantine", "show", entry["id"], "--env", "test") for entry in quarantine(bad)]
    assert {(result.code, result.err) for result in shown} == {(0, "")}
    loads_well(bad)


def test_a_scalar_is_no_page(bad):
    yields(bad, "3", "'text'", "2.5", "True", "None", "[{'id': 7}]")
    assert run(bad).code == 3
    assert bad.query("SELECT id FROM toy.things") == [(7,)]
    assert len(quarantine(bad)) == 4


STORABLE = [
    ("{'id': 2**63 - 1, 'n': -(2**63)}", "SELECT n FROM toy.things", [(-(2**63),)]),
    (r"{'id': 1, 't': 'a\x00b'}", "SELECT t FROM toy.things", [("a\0b",)]),
    ("{'id': 1, 't': 'x' * 1_000_000}", "SELECT length(t) FROM toy.things", [(1_000_000,)]),
    ("{'id': 1, 't': '😀 \\u202e \\x1b[31m'}", "SELECT t FROM toy.things", [("😀 \u202e \x1b[31m",)]),
    ("{'id': 1, 'b': b'\\xff\\x00'}", "SELECT b FROM toy.things", [(b"\xff\0",)]),
    ("{'id': 1, **{f'c{i}': i for i in range(2000)}}", "SELECT c0 + c1999 FROM toy.things", [(1999,)]),
    (deep(100, "{'a': inner}"), "SELECT count(*) FROM toy.things", [(1,)]),
    (deep(20, "[inner]"), "SELECT count(*) FROM toy.things", [(1,)]),
    ("{'id': 1, 'x' * 200: 5}", "SELECT count(*) FROM toy.things", [(1,)]),
    ("{'id': 1, 'a b': 1, 'c-d': 2, '😀': 3, '4x': 4}", 'SELECT a_b, c_d, _4x FROM toy.things', [(1, 2, 4)]),
    ("{'id': 1, 'select': 1, 'Group': 3}", 'SELECT "select", "group" FROM toy.things', [(1, 3)]),
    ("{'id': 1, 'empty': {}, 'none': [], 'null': None}", "SELECT id FROM toy.things", [(1,)]),
]  # fmt: skip


ONE_EACH = """\
from functools import reduce

import dlt


@dlt.source(name="toy", section="toy")
def toy():
    for number, row in enumerate({rows}):
        yield dlt.resource([row], name=f"things{{number}}", primary_key="id", write_disposition="merge")
"""


def test_odd_but_storable_rows_are_loaded(bad):
    """Each into a table of its own."""
    module(bad, ONE_EACH.format(rows=f"[{', '.join(row for row, _, _ in STORABLE)}]"))
    result = run(bad)
    assert (result.code, result.err) == (0, "")
    for number, (row, sql, expected) in enumerate(STORABLE):
        assert bad.query(sql.replace("toy.things", f"toy.things{number}")) == expected, row


def test_a_number_beyond_64_bits_fits_a_column_declared_wider(workspace):
    made = workspace()
    toy(made, [{"id": 1, "changed": "2024-01-01T00:00:00Z", "amount": 2**63}])
    assert made.etl("run", "toy", "--env", "test").code == 0
    assert made.query("SELECT amount FROM toy.things") == [(float(2**63),)]


def test_new_columns_and_new_types_evolve_the_schema(bad):
    yields(bad, "[{'id': 1, 'n': 1}]")
    assert run(bad).code == 0
    yields(bad, "[{'id': 2, 'n': 'text', 'more': True}]")
    assert run(bad).code == 0
    assert bad.query("SELECT id, n, n__v_text, more FROM toy.things ORDER BY id") == [
        (1, 1, None, None), (2, None, "text", True),
    ]  # fmt: skip


WELL = SOURCE.format(body="yield [{'id': 1}]")
RAISING = [
    (f"import nothing_of_this_name\n{WELL}", 1, "toy: sources/toy.py:1: ModuleNotFoundError: No module named"),
    (f"raise RuntimeError('boom')\n{WELL}", 1, "toy: sources/toy.py:1: RuntimeError: boom; run again with --debug"),
    (WELL.replace("yield [", "raise ValueError('bang')\n        yield ["), 1, "sources/toy.py:12: ValueError: bang"),
    (WELL.replace("]", "]\n        raise ValueError('late')"), 1, "toy: sources/toy.py:13: ValueError: late; run"),
    (WELL.replace("yield", "raise ConnectionResetError('reset')\n        yield"), 5, "toy: reset; check the network"),
]  # fmt: skip


def test_a_source_that_raises_is_one_line_and_loads_nothing(bad):
    for number, (text, code, said) in enumerate(RAISING):
        module(bad, text)
        result = run(bad, "--run-id", f"broken-{number}")
        assert (result.code, says(result, said)) == (code, True), text
        assert json.loads((bad.root / f"runs/broken-{number}/error.json").read_text())["exit_code"] == code
        assert not (bad.root / f"runs/broken-{number}/success.ok").exists()
    loads_well(bad)
    assert bad.query("SELECT id, of FROM toy.things") == [(1, "a good run")]


BROKEN = [
    (None, "there is no sources/toy.py; write it, or use rest:"),
    ("def toy(:\n    pass", "sources/toy.py:1:9: not Python: "),
    ("def toi():\n    pass", "sources/toy.py has no @dlt.source function named toy; name it as the spec"),
    ("def toy():\n    return 3", "sources/toy.py has no @dlt.source function named toy; name it as the spec"),
    (f"from sources.toy_pages import pages\n{WELL}", "sources/toy_pages.py:2: not Python: "),
]  # fmt: skip


def test_a_source_that_is_no_source_is_one_line(bad):
    bad.write("sources/toy_pages.py", "# not Python\n)")
    for text, said in BROKEN:
        if text is not None:
            module(bad, text)
        result = run(bad)
        assert (result.code, says(result, said)) == (2, True), text
    loads_well(bad)


def in_the_way(workspace: Workspace, path: str) -> None:
    target = workspace.root / path
    if target.exists():
        shutil.rmtree(target)
    target.write_text("in the way")


@pytest.mark.parametrize("path", ["data", "runs", ".dlt/state"])
def test_a_file_where_a_folder_must_be(bad, path):
    text = (bad.root / "destinations.toml").read_text().replace('"warehouse.duckdb"', '"data/warehouse.duckdb"')
    bad.write("destinations.toml", text)
    in_the_way(bad, path)
    yields(bad, repr(GOOD))
    result = run(bad)
    assert result.code == 1
    assert says(result, str(bad.root / path))
    (bad.root / path).unlink()
    loads_well(bad)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_must_not_be_written(bad):
    yields(bad, repr(GOOD))
    bad.root.chmod(0o500)
    try:
        result = run(bad)
    finally:
        bad.root.chmod(0o700)
    assert result.code == 1
    assert says(result, "Permission denied", "let this user read and write it")
    loads_well(bad)


def garbled(database: Path) -> None:
    database.write_bytes(b"this is no database" * 1000)


def a_folder(database: Path) -> None:
    database.unlink()
    database.mkdir()


@pytest.mark.parametrize("spoil", [garbled, a_folder])
def test_a_warehouse_file_that_is_no_database(bad, spoil):
    yields(bad, repr(GOOD))
    assert run(bad).code == 0
    database = bad.root / "warehouse.duckdb"
    spoil(database)
    for command in (["run", "toy"], ["status"], ["state", "reset", "toy"], ["quarantine", "list"]):
        result = bad.etl(*command, "--env", "test")
        assert (result.code, says(result, "the warehouse file is not a DuckDB database; move it away")) == (2, True)
    database.rename(bad.root / "moved away")
    loads_well(bad)
    assert bad.query("SELECT id, of FROM toy.things") == [(1, "a good run")]


def test_half_a_warehouse_file(bad):
    yields(bad, repr(GOOD))
    assert run(bad).code == 0
    database = bad.root / "warehouse.duckdb"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2])
    result = run(bad)
    assert (result.code, says(result, "toy: the warehouse file is damaged; put a copy in its place")) == (1, True)
    database.rename(bad.root / "moved away")
    loads_well(bad)
    assert bad.query("SELECT id, of FROM toy.things") == [(1, "a good run")]


OPEN = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


def test_a_warehouse_file_open_in_another_process(bad, monkeypatch):
    monkeypatch.setattr("pipelines.ledger.PATIENCE_SECONDS", 0.1)
    yields(bad, repr(GOOD))
    assert run(bad).code == 0
    command = [sys.executable, "-c", OPEN, str(bad.root / "warehouse.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        other.stdout.readline()
        said = f"the DuckDB file is open in process {other.pid}, which is no run (a DuckDB shell, a notebook); close it"
        for arguments in (["run", "toy"], ["state", "reset", "toy"], ["quarantine", "list"]):
            result = bad.etl(*arguments, "--env", "test")
            assert (result.code, says(result, said)) == (7, True)
        other.stdin.close()
    loads_well(bad)


@pytest.mark.parametrize("most_bytes", [0, 20_000])
def test_no_room_to_write(workspace, most_bytes):
    """A cap on the size of files stands in for a disk that is full from the start, or while the rows are read."""
    made = workspace()
    noise = Random(1)  # which no warehouse can compress
    toy(made, [{**row, "pad": noise.randbytes(800).hex()} for row in rows(1400)])
    command = [sys.executable, "-m", "cli", "--root", str(made.root), "run", "toy", "--env", "test"]
    capped = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **made.variables}, text=True, capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY)),
    )  # fmt: skip
    assert capped.returncode == 1, capped.stdout
    assert "the disk is full; free space and run again" in capped.stderr
    assert len(capped.stderr.splitlines()) == 1
    assert made.etl("run", "toy", "--env", "test").code == 0
    assert made.query("SELECT count(*), count(DISTINCT id) FROM toy.things") == [(1400, 1400)]


SMALL_DISK = """
mount -t tmpfs -o size=64m tmpfs "$1/disk" || exit 99
head -c 64636k /dev/zero > "$1/disk/ballast"
"$2" -m cli --root "$1" run toy --env test; echo "exit $?"
rm "$1/disk/ballast"
"$2" -m cli --root "$1" run toy --env test; echo "exit $?"
cp "$1/disk/warehouse.duckdb" "$1/copy.duckdb"
"""


def test_a_small_disk_that_fills_up(workspace):
    made = workspace()
    noise = Random(1)  # which no warehouse can compress
    toy(made, [{**row, "pad": noise.randbytes(800).hex()} for row in rows(1400)])
    (made.root / "disk").mkdir()
    text = (made.root / "destinations.toml").read_text().replace('"warehouse.duckdb"', '"disk/warehouse.duckdb"')
    made.write("destinations.toml", text)
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", SMALL_DISK, "-", str(made.root), sys.executable]
    if not shutil.which("unshare"):
        pytest.skip("needs unshare to mount a small disk of its own")
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **made.variables, "LOAD__RAISE_ON_MAX_RETRIES": "1"}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    if "exit" not in done.stdout:
        pytest.skip(f"this machine mounts no small disk: {done.stderr.strip()[:200]}")
    codes = [line for line in done.stdout.splitlines() if line.startswith("exit ")]
    assert codes == ["exit 1", "exit 0"], done.stdout + done.stderr
    assert done.stderr.startswith("ERROR: toy: the disk is full; free space and run again")
    assert len(done.stderr.splitlines()) == 1
    (made.root / "copy.duckdb").rename(made.root / "warehouse.duckdb")
    assert made.query("SELECT count(*), count(DISTINCT id) FROM toy.things") == [(1400, 1400)]


HEAD = "recording_id,location,phone,campaign_name,duration_seconds,started,stopped\n"


def call(number: int, campaign: str = "C", **more: str) -> str:
    """A row of a list of recordings."""
    given = {"seconds": "12.5", "started": "2024-03-01T10:00:00Z", **more}
    url = f"https://x.example/{number}.mp3"
    return f"r{number},{url},+4930,{campaign},{given['seconds']},{given['started']},2024-03-01T10:00:12Z\n"


GOOD_LIST = (HEAD + call(1) + call(2)).encode()
LISTS = {
    "a missing column": (b"recording_id,phone\nr1,+49\n", 3, 0, "needs location, url or recording_urls"),
    "an extra column": (f"{HEAD.strip()},mood\n{call(1).strip()},x\n".encode(), 0, 1, "nothing reads: mood"),
    "a column twice": (f"{HEAD.strip()},phone\n{call(1).strip()},x\n".encode(), 3, 0, "names a column twice: phone"),
    "wrong types": ((HEAD + call(1, started="soon") + call(2)).encode(), 3, 1, "1 row in quarantine"),
    "a cell of 1 MB": ((HEAD + call(1, "x" * 1_000_000)).encode(), 0, 1, "ok"),
    "NUL": ((HEAD + call(1, "A\0B") + call(2)).encode(), 3, 1, "1 row in quarantine"),
    "Excel's first line": (b"sep=;\n" + (HEAD + call(1)).replace(",", ";").encode(), 0, 1, "ok"),
    "UTF-16": ((HEAD + call(1, "Zürich")).encode("utf-16"), 0, 1, "ok"),
    "Latin-1": ((HEAD + call(1, "Zürich")).encode("latin-1"), 0, 1, "ok"),
    "an empty file": (b"", 3, 0, "is empty; send the list again"),
    "half a file": ((HEAD + call(1) + call(2)).encode()[:-60], 3, 1, "1 row in quarantine"),
    "a web page": (b"<html><body>no</body></html>", 3, 0, "CSV schema not recognised"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "code", "loaded", "said"), LISTS.values(), ids=list(LISTS))
def test_a_list_of_recordings_that_is_wrong(workspace, content, code, loaded, said):
    made = workspace("recordings")
    (made.root / "calls.csv").write_bytes(content)
    made.variables["SOURCES__RECORDINGS__CSV_PATH"] = str(made.root / "calls.csv")
    result = made.etl("run", "recordings", "--env", "test", "--exclude", "audio_files", "--output", "json")
    assert (result.code, said in result.out) == (code, True), result.out
    assert result.json[0]["tables"].get("recordings", 0) == loaded
    if not code:
        return
    (made.root / "calls.csv").write_bytes(GOOD_LIST)
    assert made.etl("run", "recordings", "--env", "test", "--exclude", "audio_files").code == 0
    assert made.query("SELECT recording_id FROM media_pipeline.recordings ORDER BY 1") == [("r1",), ("r2",)]


@pytest.fixture
def postgres_toy(bad, postgres_url):
    """The same on Postgres."""
    bad.postgres(postgres_url)
    yields(bad, repr(GOOD))
    return bad


AWAY = [
    ("PORT", "1", 5, "toy: the destination is away: ", "Connection refused; start it, or run again later"),
    ("HOST", "no.such.host.invalid", 5, "toy: the destination is away: could not translate host name", "run again"),
    ("DATABASE", "nope", 2, 'toy: database "nope" does not exist; create it, or mend destinations.toml', ""),
    ("USERNAME", "nope", 2, 'toy: role "nope" does not exist; create it, or mend destinations.toml', ""),
    ("PORT", "abc", 2, "toy: setting 'port' cannot be read; write it as a whole number", ""),
]  # fmt: skip


def test_a_postgres_that_cannot_be_reached(postgres_toy):
    for field, value, code, part, advice in AWAY:
        result = run(postgres_toy, env="pg", **{f"DESTINATION__WAREHOUSE__CREDENTIALS__{field}": value})
        assert (result.code, says(result, part, advice)) == (code, True), f"{field}={value}"
    loads_well(postgres_toy, env="pg")


PASSWORD = "DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD"


def test_a_password_that_is_not_set(postgres_toy):
    right = postgres_toy.variables.pop(PASSWORD)
    result = run(postgres_toy, env="pg")
    assert (result.code, says(result, f"toy: setting 'password' is missing; set {PASSWORD}")) == (2, True)
    loads_well(postgres_toy, env="pg", **{PASSWORD: right})


def test_a_wrong_password(postgres_toy, postgres_server, postgres_url):
    with guarded_role(postgres_server, postgres_url) as (name, password):
        settings = {"DESTINATION__WAREHOUSE__CREDENTIALS__USERNAME": name, PASSWORD: "wrong-and-planted"}
        result = run(postgres_toy, env="pg", **settings)
        assert (result.code, says(result, "toy: the destination refuses the password; set DESTINATION__")) == (2, True)
        assert "wrong-and-planted" not in result.out + result.err
        loads_well(postgres_toy, env="pg", **{**settings, PASSWORD: password})


def test_postgres_cannot_store_nul_so_the_row_goes_to_quarantine(postgres_toy, postgres_url):
    rows_with_nul = r"{'id': 2, 't': 'a\x00b'}, {'id': 3, 'l': [{'x': '\x00'}]}"
    yields(postgres_toy, f"[{{'id': 1, 't': 'fine'}}, {rows_with_nul}]", r"[{'id': 4, 't': r'\u0000'}]")
    assert run(postgres_toy, env="pg").code == 3
    assert ask(postgres_url, "SELECT id, t FROM toy.things ORDER BY id") == [(1, "fine"), (4, r"\u0000")]
    reasons = {entry["reason"] for entry in quarantine(postgres_toy, "pg")}
    assert reasons == {f"{where}: holds a NUL character, which Postgres cannot store" for where in ("t", "l.*.x")}
    loads_well(postgres_toy, env="pg")


def test_nul_in_a_list_of_recordings_on_postgres(workspace, postgres_url):
    made = workspace("recordings")
    made.postgres(postgres_url)
    content, code, *_ = LISTS["NUL"]
    (made.root / "calls.csv").write_bytes(content)
    made.variables["SOURCES__RECORDINGS__CSV_PATH"] = str(made.root / "calls.csv")
    assert made.etl("run", "recordings", "--env", "pg", "--exclude", "audio_files").code == code
    assert ask(postgres_url, "SELECT recording_id FROM media_pipeline.recordings") == [("r2",)]


def test_more_columns_than_postgres_has_room_for(postgres_toy, postgres_url):
    yields(postgres_toy, "[{'id': 1, **{f'c{i}': i for i in range(2000)}}]")
    result = run(postgres_toy, env="pg")
    assert result.code == 1
    assert says(result, "toy: tables can have at most 1600 columns; ", "etl state reset toy --env pg --pending")
    assert postgres_toy.etl("state", "reset", "toy", "--pending", "--env", "pg").code == 0
    loads_well(postgres_toy, env="pg")
    assert ask(postgres_url, "SELECT id, of FROM toy.things") == [(1, "a good run")]


KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> {spared}"


def test_postgres_dies_in_the_middle_of_a_load(postgres_toy, postgres_url, postgres_server):
    loads_well(postgres_toy, env="pg")
    name = postgres_url.rsplit("/", 1)[1]
    yields(postgres_toy, "[{'id': i, 'of': 'a load that was cut'} for i in range(5)]")
    postgres_toy.variables["LOAD__RAISE_ON_MAX_RETRIES"] = "1"
    with closing(psycopg2.connect(postgres_url)) as blocker, blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE toy.things IN ACCESS EXCLUSIVE MODE")
        cut = killed.start(postgres_toy, "run", "toy", "--env", "pg")
        wait_for_a_blocked_backend(postgres_server, name)
        ask(postgres_server, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        ask(postgres_server, KILL.format(database=name, spared=blocker.info.backend_pid))
        result = cut.ended()
    ask(postgres_server, f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    assert (result.code, says(result, "toy: the destination is away: ")) == (5, True)
    assert ask(postgres_url, "SELECT id, of FROM toy.things") == [(1, "a good run")]
    assert run(postgres_toy, env="pg").code == 0
    assert ask(postgres_url, "SELECT count(*), count(DISTINCT id) FROM toy.things WHERE of LIKE 'a load%'") == [(5, 5)]


def wait_for_a_blocked_backend(server: str, database: str) -> None:
    sql = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 60
    while not ask(server, sql):
        assert time.monotonic() < deadline, "the load never came to the locked table"
        time.sleep(0.05)
