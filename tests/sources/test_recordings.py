"""Lists of recordings through dlt into DuckDB: identity, cursor, notices, settings, remote files."""

import functools
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from sources.kit.errors import BadSetting, SourceError, TryLater
from sources.kit.notices import KEY, failed, warning
from sources.recordings import recordings

HEADER = "recording_id,location,phone,campaign_name,duration_seconds,started,stopped\n"
RECORDED = ("flat_location.csv", "flat_url_recordings_row_id.csv", "grouped_recording_urls.csv")
URL = "https://vault.example.test/vr/PR_{}.mp3"


def line(number: int, phone: str = "+49150", campaign: str = "A", seconds: str = "60.5", day: int = 3) -> str:
    """A flat row of the recording of this number."""
    start = f"2025-06-{day:02d}T07:58:00"
    return f"id{number},{URL.format(number)},{phone},{campaign},{seconds},{start}.5Z,{start[:-2]}59Z\n"


class Lists:
    """A folder of lists, and the pipeline that reads it; takes the notices out as the engine does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "some lists"
        self.folder.mkdir()
        self.notices: list[dict] = []
        self.pipeline = dlt.pipeline(
            "recordings",
            pipelines_dir=str(folder / "state"),
            destination=dlt.destinations.duckdb(str(folder / "w.duckdb")),
            dataset_name="media_pipeline",
        )

    def write(self, name: str, content: str | bytes) -> None:
        """A file whose time of change is later than that of the one it replaces."""
        path = self.folder / name
        before = path.stat().st_mtime if path.exists() else None
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if before is not None:
            os.utime(path, (before + 1, before + 1))

    def run(self, pattern: str = "*.csv", refresh=None, tables: int | None = None, **settings) -> int:
        """The number of rows that the run loads; it can stop after so many tables."""
        self.notices.clear()
        source = recordings(settings.pop("csv_path", str(self.folder / pattern)), **settings)
        source.resources["recordings"].add_yield_map(self._keep_notices).add_limit(tables)
        self.pipeline.run(source, loader_file_format="parquet", refresh=refresh)
        info = self.pipeline.last_trace.last_normalize_info
        return info.row_counts.get("recordings", 0) if info else 0

    def refused(self, *arguments, **settings) -> SourceError:
        """The error with which a run ends."""
        with pytest.raises(PipelineStepFailed) as caught:
            self.run(*arguments, **settings)
        error: BaseException | None = caught.value
        while error is not None and not isinstance(error, SourceError):
            error = error.__cause__
        assert isinstance(error, SourceError)
        return error

    def rows(self, columns: str = "*") -> list[tuple]:
        """The table, by URL."""
        return self.ask(f"SELECT {columns} FROM media_pipeline.recordings ORDER BY url")

    def facts(self, aggregates: str) -> tuple:
        """What the whole table comes to."""
        (row,) = self.ask(f"SELECT {aggregates} FROM media_pipeline.recordings")
        return row

    def ask(self, query: str) -> list[tuple]:
        with self.pipeline.sql_client() as client:
            return [tuple(row) for row in client.execute_sql(query) or []]

    def kinds(self) -> list[str]:
        return [notice[KEY] for notice in self.notices]

    def _keep_notices(self, item):
        if isinstance(item, dict):
            self.notices.append(item)
        else:
            yield item


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    return Lists(tmp_path)


def test_the_recorded_lists(lists: Lists, payloads: Path) -> None:
    folder = payloads / "csv_recordings"
    assert [lists.run(csv_path=str(folder / name)) for name in RECORDED] == [20, 12, 5]
    counts = "count(*), count(DISTINCT url_sha1), count(started), count(source_row_id), count(DISTINCT phone)"
    assert lists.facts(counts) == (25, 25, 20, 12, 5)
    hashed, german = "count(*) FILTER (sha1(url) = url_sha1)", "count(*) FILTER (phone LIKE '+49150%')"
    assert lists.facts(f"{hashed}, {german}") == (25, 25)
    assert (lists.run(csv_path=str(folder / "*.csv")), lists.notices) == (0, [])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_recorded_lists_come_to_the_same_in_any_order(lists: Lists, payloads: Path, order: tuple) -> None:
    for number in order:
        lists.run(csv_path=str(payloads / "csv_recordings" / RECORDED[number]))
    seconds = "count(*), count(duration_seconds), count(source_row_id), round(sum(duration_seconds), 3)"
    assert lists.facts(seconds) == (25, 20, 12, 2340.702)
    assert lists.facts("min(started), max(stopped)") == (
        datetime(2025, 6, 3, 7, 58, 0, 803000, UTC),
        datetime(2025, 6, 30, 8, 7, 2, 683000, UTC),
    )


def test_a_table_of_typed_columns(lists: Lists) -> None:
    lists.write("a.csv", HEADER + line(1, phone="0049150"))
    assert lists.run() == 1
    columns = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'recordings'"
    assert dict(lists.ask(columns)) == {
        "recording_id": "VARCHAR",
        "url": "VARCHAR",
        "url_sha1": "VARCHAR",
        "phone": "VARCHAR",
        "campaign_name": "VARCHAR",
        "duration_seconds": "DOUBLE",
        "started": "TIMESTAMP WITH TIME ZONE",
        "stopped": "TIMESTAMP WITH TIME ZONE",
        "source_row_id": "BIGINT",
        "source_file": "VARCHAR",
        "source_line": "BIGINT",
    }
    url = URL.format(1)
    started = datetime(2025, 6, 3, 7, 58, 0, 500000, UTC)
    stopped = datetime(2025, 6, 3, 7, 58, 59, 0, UTC)
    name = str(lists.folder / "a.csv")
    sha1 = hashlib.sha1(url.encode()).hexdigest()
    assert lists.rows() == [("id1", url, sha1, "0049150", "A", 60.5, started, stopped, None, name, 2)]


def test_only_what_is_new_or_changed_is_loaded(lists: Lists) -> None:
    lists.write("a.csv", HEADER + "".join(map(line, range(100))))
    assert lists.run() == 100
    assert lists.run() == 0
    lists.write("a.csv", HEADER + "".join(map(line, range(101))))
    assert lists.run() == 1
    lists.write("a.csv", HEADER + line(0, phone="+49999") + "".join(map(line, range(1, 101))))
    assert lists.run() == 1
    lists.write("b.csv", HEADER + "".join(map(line, range(50, 103))))
    assert lists.run() == 2
    assert lists.facts("count(*), count(*) FILTER (phone = '+49999')") == (103, 1)


def test_an_unchanged_file_is_not_opened(lists: Lists) -> None:
    lists.write("a.csv", HEADER + line(1))
    lists.run()
    path = lists.folder / "a.csv"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"+49150", b"+49151"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (lists.run(), lists.rows("phone")) == (0, [("+49150",)])
    os.utime(path, (1, 1))
    assert (lists.run(), lists.rows("phone")) == (1, [("+49151",)])


def test_its_own_file_updates_a_row_and_other_files_fill_it(lists: Lists) -> None:
    lists.write("a.csv", HEADER + line(1, phone=""))
    lists.write("b.csv", HEADER + line(1, phone="+49222", campaign="B"))
    lists.run()
    assert lists.rows("phone, campaign_name") == [("+49222", "A")]
    lists.write("b.csv", HEADER + line(1, phone="+49333", campaign="B"))
    assert lists.run() == 0
    lists.write("a.csv", HEADER + line(1, phone="+49111", campaign=""))
    assert lists.run() == 1
    assert lists.rows("phone, campaign_name") == [("+49111", "A")]
    assert lists.rows("source_file") == [(str(lists.folder / "a.csv"),)]


def test_other_settings_are_a_reason_to_read_again(lists: Lists) -> None:
    lists.write("a.csv", "url,started\nhttps://a.test/1,2025-06-03 09:00:00\n")
    assert lists.run() == 1
    assert lists.run(timezone="Europe/Berlin") == 1
    assert lists.rows("started") == [(datetime(2025, 6, 3, 7, 0, tzinfo=UTC),)]
    assert lists.run(timezone="Europe/Berlin") == 0


def test_a_window_loads_what_started_in_it_and_remembers_nothing(lists: Lists) -> None:
    lists.write("a.csv", HEADER + "".join(line(day, day=day) for day in range(1, 10)))
    lists.write("b.csv", f"phone,recording_urls\n+49,{URL.format(77)}\n")
    window = {"since": "2025-06-03T07:58:00.500Z", "until": "2025-06-06T09:58:00.500+02:00"}
    assert lists.run(**window) == 3
    assert lists.rows("recording_id") == [("id3",), ("id4",), ("id5",)]
    assert lists.run(**window) == 0
    assert lists.run() == 7
    assert lists.run(since="2025-06-03") == 0


def test_a_run_that_stops_early_loses_nothing(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.recordings.ledger.ROWS_PER_TABLE", 1)
    lists.write("a.csv", HEADER + "".join(map(line, range(5))))
    assert lists.run(tables=2) == 2
    assert lists.run() == 3


@pytest.mark.parametrize("refresh", ["drop_data", "drop_resources", "drop_sources"])
def test_a_refresh_reads_and_loads_everything_again(lists: Lists, refresh: str) -> None:
    lists.write("a.csv", HEADER + line(1) + line(2))
    lists.run()
    assert lists.run(refresh=refresh) == 2
    assert len(lists.rows()) == 2


def test_outside_of_a_run_rows_can_be_looked_at(lists: Lists) -> None:
    lists.write("a.csv", HEADER + line(1))
    (table,) = recordings(str(lists.folder / "a.csv"))
    assert table["recording_id"].to_pylist() == ["id1"]


def test_bad_rows_are_set_aside_and_the_file_is_remembered(lists: Lists) -> None:
    lists.write("a.csv", HEADER + line(1) + line(2, seconds="x") + "i,j\n" + line(3) + '"cut')
    assert lists.run() == 2
    places = [(notice["where"].rpartition("/")[2], notice["reason"].split(";")[0]) for notice in lists.notices]
    assert sorted(places) == [
        ("a.csv:3", "duration_seconds 'x' is no number of seconds from 0 up, such as 65.223"),
        ("a.csv:4", "has 2 cells where the header has 7"),
        ("a.csv:6", "ends in the middle of a quoted cell: the file was cut"),
    ]
    assert set(lists.kinds()) == {"rejected"}
    assert (lists.run(), lists.notices) == (0, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty; send the list again, with a header line"),
        (
            "phone,link\n",
            "CSV schema not recognised: needs location, url or recording_urls; found phone, link",
        ),
        ("url,URL\n", "names a column twice: url; keep one of each"),
        (
            "url,campaign_name\nhttps://a.test/1,München\nhttps://a.test/2,K\xf6".encode()[:-1],
            "ends in the middle of a",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_tried_again_and_holds_nothing_up(
    lists: Lists, content: str | bytes, reason: str
) -> None:
    lists.write("a.csv", content)
    lists.write("b.csv", HEADER + line(1))
    assert lists.run() == 1
    (notice,) = lists.notices
    assert notice == failed(str(lists.folder / "a.csv"), notice["reason"])
    assert notice["reason"].startswith(reason)
    assert (lists.run(), lists.kinds()) == (0, ["failed"])


def test_a_file_that_is_away_when_it_is_read_is_a_failed_item(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    lists.write("a.csv", HEADER + line(1))

    def gone(*_):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("sources.recordings.reader.encoding_of", gone)
    assert (lists.run(), lists.kinds()) == (0, ["failed"])
    assert "cannot be read: [Errno 2] No such file or directory; check the file" in lists.notices[0]["reason"]


def test_oddities_are_told_once_for_a_file(lists: Lists) -> None:
    rows = "".join(f"https://a.test/{n % 4},x{n},y\n" for n in range(6))
    lists.write("a.csv", "url,recordings_row_id,agent\n" + rows)
    assert lists.run() == 4
    name = lists.folder / "a.csv"
    assert lists.notices == [
        warning(f"{name}: columns that nothing reads: agent"),
        warning(f"{name}: recordings_row_id is no whole number and is left empty: 6 rows, the first on line 2"),
        warning(f"{name}: 2 rows name a URL that stands in the file before; their filled cells win"),
    ]


def test_encodings_and_delimiters_of_several_files(lists: Lists) -> None:
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252")
    for number, encoding in enumerate(encodings):
        text = (HEADER + line(number, campaign="Köln")).replace(",", ",;\t|"[number % 4])
        lists.write(f"{number}.csv", text.encode(encoding))
    assert lists.run() == len(encodings)
    assert {row[0] for row in lists.rows("campaign_name")} == {"Köln"}


def test_an_encoding_and_a_delimiter_can_be_set(lists: Lists) -> None:
    lists.write("a.csv", "url\tcampaign_name\nhttps://a.test/1\tŁódź\n".encode("cp1250"))
    assert lists.run(encoding="cp1250", delimiter="tab") == 1
    assert lists.rows("campaign_name") == [("Łódź",)]


def test_a_cell_of_a_megabyte_is_loaded_whole(lists: Lists) -> None:
    lists.write("a.csv", HEADER + line(1, campaign="c" * (1 << 20)))
    assert (lists.run(), lists.rows("length(campaign_name)")) == (1, [(1 << 20,)])


def test_names_are_relative_to_the_working_directory(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lists.folder.parent)
    lists.write("calls [1].csv", HEADER + line(1))
    assert lists.run(csv_path="some lists/calls [1].csv") == 1
    assert lists.rows("source_file") == [("some lists/calls [1].csv",)]
    assert lists.run(csv_path=f"file://{lists.folder}/calls*.csv") == 0


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*.csv", "recordings.csv_path: no file matches {}/*.csv; put a list there or name another one"),
        ("a.csv", "recordings.csv_path: no file matches {}/a.csv; put a list there or name another one"),
        ("", "recordings.csv_path: {} is a folder; name its files, e.g. {}/*.csv"),
    ],
)
def test_a_path_without_files(lists: Lists, pattern: str, message: str) -> None:
    error = lists.refused(csv_path=f"{lists.folder}/{pattern}")
    assert isinstance(error, BadSetting)
    assert str(error).startswith(message.format(lists.folder, lists.folder))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"timezone": "Mars/Olympus"},
            "recordings.timezone: 'Mars/Olympus' is no time zone; use a name such as",
        ),
        ({"delimiter": ";;"}, "recordings.delimiter: ';;' is not one character that can part cells"),
        ({"delimiter": '"'}, "recordings.delimiter: '\"' is not one character that can part cells"),
        (
            {"encoding": "utf-9"},
            "recordings.encoding: 'utf-9' is no encoding; use e.g. utf-8, utf-16, cp1252",
        ),
        ({"encoding": "hex"}, "recordings.encoding: 'hex' is no encoding; use e.g. utf-8, utf-16, cp1252"),
        ({"since": "June"}, "recordings.since: 'June' is no ISO 8601 time; use e.g. 2025-06-03T00:00:00Z"),
        ({"until": "June"}, "recordings.until: 'June' is no ISO 8601 time; use e.g. 2025-06-03T00:00:00Z"),
    ],
)
def test_a_wrong_setting(settings: dict[str, str], message: str) -> None:
    with pytest.raises(BadSetting) as caught:
        recordings("calls.csv", **settings)
    assert str(caught.value).startswith(message)


class Handler(SimpleHTTPRequestHandler):
    """The files of a folder; names that begin with a number answer with that status."""

    def send_head(self):
        name = self.path.strip("/")
        if name[:3].isdigit():
            self.send_error(int(name[:3]))
            return None
        return super().send_head()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_list_behind_http(lists: Lists) -> None:
    lists.write("a.csv", HEADER + line(1))
    with serving(lists.folder) as host:
        address = f"http://user:secret@{host}/a.csv?token=secret"
        assert lists.run(csv_path=address) == 1
        assert lists.rows("source_file") == [(f"http://{host}/a.csv",)]
        assert lists.run(csv_path=address) == 0
        lists.write("a.csv", HEADER + line(1) + line(2))
        assert lists.run(csv_path=address) == 1


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("404.csv", BadSetting, "recordings.csv_path: no file matches http://{}/404.csv; put a list there"),
        (
            "403.csv?key=s",
            BadSetting,
            "recordings.csv_path: http://{}/403.csv answers HTTP 403; check the address",
        ),
        ("503.csv", TryLater, "recordings.csv_path: http://{}/503.csv answers HTTP 503; try again later"),
    ],
)
def test_a_server_that_refuses(lists: Lists, path: str, kind: type, message: str) -> None:
    with serving(lists.folder) as host:
        error = lists.refused(csv_path=f"http://{host}/{path}")
    assert type(error) is kind
    assert str(error).startswith(message.format(host))


def test_a_server_that_is_away(lists: Lists) -> None:
    with serving(lists.folder) as host:
        pass
    error = lists.refused(csv_path=f"http://{host}/a.csv")
    assert type(error) is TryLater
    assert str(error) == f"recordings.csv_path: http://{host}/a.csv cannot be reached; try again later"


def test_an_unknown_kind_of_address(lists: Lists) -> None:
    error = lists.refused(csv_path="gopher://host/a.csv")
    assert type(error) is BadSetting
    assert "gopher" in str(error)
