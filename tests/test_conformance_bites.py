"""A promise nobody has seen broken is decoration: one good source keeps all, and a change to it breaks each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import conformance as kept
from tests.conformance import PROMISES, Promise
from tests.subject import Subject
from tests.workspace import Workspace

GOOD = Path(__file__).parent / "bad_sources"
FILES = {
    "specs/parcels.yaml": "parcels.yaml",
    "sources/parcels.py": "source.py",
    "sandbox/parcels.py": "stand_in.py",
    "models/parcels/heaviest.sql": "heaviest.sql",
}

ARRIVALS = "  arrivals:\n"
APPEND = ARRIVALS + "    write_disposition: append\n    append_reason: so it is\n"
LIST = 'answer = session.json(f"{base_url}/{depot}")\n'
SESSION = 'open_session("parcels")\n'
PLAIN = """__import__("requests").Session()
    session.json = lambda url, **more: (got := session.get(url, **more), got.raise_for_status())[0].json()
"""
ASK = 'answer = session.json(f"{base_url}/{depot}/{day}", params={"page": page})\n'
ASK_AND_SWALLOW = f"""try:
                    {ASK.rstrip()}
                except Exception:
                    break
"""
MEMORY = "dlt.current.resource_state()"
OWN_MEMORY = 'vars(dlt).setdefault("own", {}).setdefault(dlt.current.pipeline().pipelines_dir.split("/.dlt/")[0], {})'
DONE_AT_END = """            if day not in (*done, days[-1]):
                done.append(day)
"""
READ = "            page = 0 if day in done else 1\n"
TIME = '__import__("time").time_ns()'


class Bad(NamedTuple):
    """The promise that is broken, what is said then, and what is changed in the good source."""

    promise: Promise
    said: str
    changes: dict[str, str]


BAD = {
    "has_no_docs": Bad(kept.tells_its_docs, "no docs", {"docs: https://api.example.org/docs\n": ""}),
    "calls_while_building": Bad(
        kept.builds_without_network,
        "building opens a connection",
        {SESSION: SESSION + '    __import__("socket").socket().connect(("127.0.0.1", 9))\n'},
    ),
    "has_no_key": Bad(kept.every_resource_has_a_key, "arrivals has no key", {'primary_key="id", ': ""}),
    "has_a_dead_resource": Bad(
        kept.first_run_loads_rows_into_every_resource, "arrivals has no rows", {"yield rows\n": "yield []\n"}
    ),
    "appends_forever": Bad(kept.second_run_changes_nothing, "changes rows", {ARRIVALS: APPEND}),
    "marks_the_running_day_as_done": Bad(
        kept.next_day_adds_only_what_is_new,
        "rows of day 2 are missing",
        {"day not in (*done, days[-1])": "day not in done"},
    ),
    "appends_the_running_day": Bad(kept.next_day_adds_only_what_is_new, "rows are there twice", {ARRIVALS: APPEND}),
    "has_a_key_that_does_not_hold": Bad(kept.keys_are_unique_and_never_null, "is not unique", {ARRIVALS: APPEND}),
    "shares_a_cursor": Bad(
        kept.a_late_partition_gets_its_history,
        "not read whole",
        {
            MEMORY: f'{MEMORY}.setdefault("days", []); before = [*memory]',
            "memory.setdefault(depot, [])": "[*before]",
            "done.append(day)": "memory.append(day)",
        },
    ),
    "swallows_errors": Bad(kept.a_failed_run_can_be_repeated, "says it is well", {ASK: ASK_AND_SWALLOW}),
    "remembers_beside_dlt": Bad(kept.a_failed_run_can_be_repeated, "does not make up for it", {MEMORY: OWN_MEMORY}),
    "marks_as_done_before_it_reads": Bad(
        kept.limit_never_loses_rows,
        "lost after --limit",
        {MEMORY: OWN_MEMORY, DONE_AT_END: "", READ: READ + DONE_AT_END},
    ),
    "needs_another_resource_first": Bad(
        kept.select_never_loses_rows,
        "other rows than together",
        {
            LIST: LIST + '        session.cookies.set(depot, "known")\n',
            "        for day in days:\n": "        for day in days if depot in session.cookies else []:\n",
        },
    ),
    "moves_its_cursor_with_a_window": Bad(kept.a_window_moves_no_cursor, "lost after a window", {MEMORY: OWN_MEMORY}),
    "changes_rows_for_a_window": Bad(
        kept.a_window_moves_no_cursor,
        "that a whole run does not",
        {"yield rows\n": 'yield [{**row, "asked_from": window[0]} for row in rows]\n'},
    ),
    "stamps_rows_with_the_time": Bad(
        kept.backfill_equals_first_run,
        "a backfill changes rows",
        {"yield rows\n": f'yield [{{**row, "read": {TIME}}} for row in rows]\n'},
    ),
    "names_tables_by_page": Bad(
        kept.raw_files_lead_to_the_same_rows,
        "gives its pages tables",
        {"yield rows\n": 'yield dlt.mark.with_table_name(rows, "arrivals")\n'},
    ),
    "gives_up_when_throttled": Bad(kept.throttled_then_served, "not: Result\\(code=1", {SESSION: PLAIN}),
    "does_not_tell_a_refusal": Bad(kept.refused_says_what_to_do, "exit 1 where a person", {SESSION: PLAIN}),
    "waits_for_ever": Bad(kept.hangs_are_cut, "exit 0 where an answer hangs", {SESSION: PLAIN}),
    "takes_a_web_page_for_no_data": Bad(
        kept.web_page_is_not_data, "exit 0 where a web page came", {ASK: ASK_AND_SWALLOW}
    ),
    "counts_rows_to_name_them": Bad(
        kept.duplicate_page_adds_no_row,
        "not in the tables once",
        {"yield rows\n": 'yield [{**row, "id": row["id"] * 100 + at} for at, row in enumerate(rows)]\n'},
    ),
    "drops_bad_rows_silently": Bad(
        kept.drift_loses_no_row,
        "arrivals: rows vanish",
        {"yield rows\n": 'yield [row for row in rows if isinstance(row["grams"], int)]\n'},
    ),
    "drops_what_it_does_not_know": Bad(
        kept.drift_loses_no_row, "a new field vanishes", {"{**answer, ": '{"depot": answer["depot"], '}
    ),
    "makes_a_bad_row_new_each_time": Bad(
        kept.bad_rows_are_quarantined_not_lost,
        "more than once",
        {"yield rows\n": f'yield [{{**row, "read": {TIME}}} for row in rows]\n'},
    ),
    "prints_a_secret": Bad(
        kept.no_secret_in_output, "a secret is told", {LIST: LIST + '        print("asked as", token)\n'}
    ),
    "loads_a_secret": Bad(
        kept.no_secret_in_output, "a secret is told", {"{**answer, ": '{**answer, "asked_as": token, '}
    ),
    "raises_a_secret": Bad(
        kept.no_secret_in_output,
        "a secret is told",
        {
            LIST: f"""try:
            {LIST}        except Exception as error:
            raise ValueError("refused: " + base_url) from error
"""
        },
    ),
    "loads_naive_times": Bad(
        kept.timestamps_are_utc, "no zone", {'"data_type": "timestamp"': '"data_type": "timestamp", "timezone": False'}
    ),
    "loads_times_as_text": Bad(
        kept.timestamps_are_utc, "left as text", {'"data_type": "timestamp"': '"data_type": "text"'}
    ),
    "lies_in_its_receipts": Bad(kept.files_are_moved_once, "something else", {": stored.bytes": ": 0"}),
    "models_by_chance": Bad(
        kept.models_say_what_the_tables_say,
        "has other rows",
        {"max(grams)": "max(grams) + CAST(random() * 1e9 AS BIGINT)"},
    ),
    "asks_without_telling": Bad(kept.a_run_leaves_a_trace, "not all told of", {SESSION: PLAIN}),
}


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Iterator[Subject]:
    folder = tmp_path_factory.mktemp("a good source")
    home = Workspace(folder / "home")
    write(home, {})
    with Subject("parcels", folder, home.root) as under_test:
        yield under_test


def write(home: Workspace, changes: dict[str, str]) -> None:
    """Write the good source with some of its text replaced, each once and nowhere else."""
    texts = {target: (GOOD / name).read_text() for target, name in FILES.items()}
    for old, new in changes.items():
        assert sum(text.count(old) for text in texts.values()) == 1, f"not there once: {old}"
        texts = {target: text.replace(old, new) for target, text in texts.items()}
    for target, text in texts.items():
        home.write(target, text)


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_a_good_source_keeps_every_promise(subject: Subject, promise: Promise):
    subject.reset()
    promise(subject)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_source_breaks_its_promise(name: str, tmp_path: Path):
    home = Workspace(tmp_path / "home")
    write(home, BAD[name].changes)
    with Subject("parcels", tmp_path, home.root) as subject, pytest.raises(AssertionError, match=BAD[name].said):
        BAD[name].promise(subject)


def test_every_promise_has_a_source_that_breaks_it():
    assert {bad.promise for bad in BAD.values()} == set(PROMISES)


def test_a_spec_without_a_stand_in_fails(tmp_path: Path):
    home = Workspace(tmp_path / "home")
    write(home, {})
    (home.root / "sandbox/parcels.py").unlink()
    with pytest.raises(AssertionError, match="there is no sandbox/parcels"):
        Subject("parcels", tmp_path, home.root)
