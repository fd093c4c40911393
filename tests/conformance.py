"""The promises that every spec keeps, one function each, asked of the command line and of the warehouse."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from pipelines.specs import spec as specs
from tests.subject import Site, Subject, keyed, newest, standing, without

Promise = Callable[[Subject], None]

WINDOW = ("--since", "2024-02-20", "--until", "2024-02-29")
TWICE = {"http.max_attempts": 2}
SOON = {"http.deadline_seconds": 0.5}
ONCE = {"http.max_attempts": 1}
MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?"
TEXT = ("varchar", "character varying", "text")
SECRET = re.compile("password|secret|token|key|cookie")
PLANTED = "planted-4f1c9e"
SELDOM = {
    "spotify.gaps": "holds what should not be; tests/sources/test_spotify.py fills it",
    "garmin.music_during_activity": "reads plays of Spotify; tests/sources/test_music_during_activities.py fills it",
}


def tells_its_docs(subject: Subject) -> None:
    """A spec says what it is about and where its upstream is described."""
    spec = specs.load(subject.home, subject.name)
    assert spec.about, "no about"
    assert spec.docs, "no docs: the page that describes the upstream"


def builds_without_network(subject: Subject) -> None:
    """Planning, and so building the source, opens no connection."""
    tried: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda _, address: tried.append(address))
        result = subject.site().etl("plan", subject.name)
    assert not tried, f"building opens a connection to {tried[0]}"
    assert result.code == 0, result


def every_resource_has_a_key(subject: Subject) -> None:
    """A resource has a primary key, or appends for a reason that its spec gives."""
    hints = specs.load(subject.home, subject.name).resources
    for resource in subject.plan["resources"]:
        reason = resource["name"] in hints and hints[resource["name"]].append_reason
        appends = resource["write_disposition"] == "append"
        assert reason if appends else resource["primary_key"], f"{resource['name']} has no key"


def first_run_loads_rows_into_every_resource(subject: Subject) -> None:
    """No resource is dead, and nothing of the stand-in's first day is refused."""
    loaded = subject.full()
    for resource in subject.plan["resources"]:
        seldom = f"{subject.name}.{resource['name']}" in SELDOM
        assert seldom or loaded.get(resource["table"]), f"{resource['name']} has no rows"


def second_run_changes_nothing(subject: Subject) -> None:
    """The same upstream once more leaves every table as it was."""
    assert subject.after(1, 1).tables() == subject.full(), "a second run changes rows"


def next_day_adds_only_what_is_new(subject: Subject) -> None:
    """A run on day 2 after two on day 1 knows all that a first run on day 2 finds, and forgets nothing."""
    assert subject.full(2) != subject.full(), "the stand-in has nothing new on day 2"
    after = subject.after(1, 1, 2).tables()
    for table in after | subject.full(2):
        key, first_seen = subject.keys.get(table, []), subject.first_seen.get(table, set())
        kept = {*key, *first_seen}
        lost = keyed(subject.full()[table], [*kept]) - keyed(after[table], [*kept]) if first_seen else set()
        assert not lost, f"{table}: what is to stay as it was first seen does not, e.g. {next(iter(lost))}"
        now, then, wanted = (
            newest(without(tables.get(table, Counter()), first_seen), key)
            for tables in (after, subject.full(), subject.full(2))
        )
        assert not wanted - now, f"{table}: rows of day 2 are missing, e.g. {next(iter(wanted - now))}"
        assert not (key and keyed(now - wanted, key) & keyed(wanted, key)), f"{table}: rows are there twice"
        assert not standing(now - wanted) - then, f"{table}: rows are neither of day 1 nor of day 2"


def keys_are_unique_and_never_null(subject: Subject) -> None:
    """The declared key holds in the warehouse, also after the next day."""
    site, keys = subject.after(1, 1, 2), {table: key for table, key in subject.keys.items() if key}
    found = site.query.all(site.select(table, key) for table, key in keys.items())
    for (table, key), rows in zip(keys.items(), found, strict=True):
        assert all(cell is not None for row in rows for cell in row), f"{table}: {', '.join(key)} has nulls"
        assert len(set(rows)) == len(rows), f"{table}: {', '.join(key)} is not unique"


def a_late_partition_gets_its_history(subject: Subject) -> None:
    """An account that is added later is read from its beginning."""
    lists = {key: value for key, value in subject.settings.items() if isinstance(value, list) and len(value) > 1}
    if not lists:
        pytest.skip(f"{subject.name} has no argument that lists partitions")
    for key, values in lists.items():
        site = subject.site().load(settings={key.split(".", 2)[2]: values[:1]})
        assert site.tables() != subject.full(), f"{key}: one entry loads as much as all"
        assert site.load().tables() == subject.full(), f"{key}: an entry that comes later is not read whole"


def a_failed_run_can_be_repeated(subject: Subject) -> None:
    """Whatever breaks in the middle, the run says so, and the next one makes up for it."""
    for kind, after in (("500", subject.requests // 2), ("malformed", max(0, subject.requests - 1))):
        site = subject.site()
        with subject.broken(kind, after=after):
            assert site.run(settings=TWICE).code, f"{kind}: a run that broke says it is well"
        assert site.load().tables() == subject.full(), f"{kind}: the next run does not make up for it"


def limit_never_loses_rows(subject: Subject) -> None:
    """What `--limit` leaves is read by the run that follows, also when it stood beside `--select`."""
    site = subject.site().load("--limit", "2")
    for table, rows in site.tables().items():
        assert table not in subject.keys or rows.total() <= 2, f"{table}: more rows than --limit"
    for some in subject.halves:
        site.load("--limit", "2", *some)
    assert site.load().tables() == subject.full(), "rows are lost after --limit"


def select_never_loses_rows(subject: Subject) -> None:
    """Resources that run apart, the last ones first, load what they load together."""
    site = subject.site()
    for some in subject.halves:
        site.load(*some)
    assert site.tables() == subject.full(), "resources alone load other rows than together"


def a_window_moves_no_cursor(subject: Subject) -> None:
    """`--since` and `--until` load rows as they are, and change nothing for the runs around them."""
    site = subject.site()
    result = site.run(*WINDOW)
    if result.code == 2 and "cannot act" in result.err:
        pytest.skip(f"{subject.name} cannot read a window")
    assert result.code == 0, result
    for table, rows in site.tables().items():
        assert not rows - subject.full()[table], f"{table}: a window loads rows that a whole run does not"
    assert site.load().tables() == subject.full(), "rows are lost after a window"
    assert site.load(*WINDOW).tables() == subject.full(), "a window after a run changes rows"


def backfill_equals_first_run(subject: Subject) -> None:
    """`--mode backfill` reads all of it again and finds the same."""
    assert subject.loaded().load("--mode", "backfill").tables() == subject.full(), "a backfill changes rows"


def raw_files_lead_to_the_same_rows(subject: Subject) -> None:
    """What is fetched and ingested, or made again from the archive, is what a run loads; only a fetch asks upstream."""
    if subject.env == "pg":
        subject.only_over_http()  # tables out of parquet are loaded there as any others
    whole, site = subject.full(), subject.site()
    fetched = site.etl("fetch", subject.name, *subject.select)
    assert fetched.code == 0, f"cannot be fetched: {fetched}"
    assert site.etl("ingest", subject.name).code == 0
    assert site.tables() == whole, "ingest: other rows than a run loads"
    later = subject.after(1, 1, 2).tables()
    subject.sandbox.move_to(2)
    assert site.etl("fetch", subject.name, *subject.select).code == 0
    subject.sandbox.forget_requests()
    for verb in ("ingest", "rebuild"):
        result = site.etl(verb, subject.name)
        assert result.code == 0, result
        assert site.tables() == later, f"{verb}: other rows than runs on two days load"
    assert not subject.sandbox.requests, "the upstream is asked though its rows are here"


def throttled_then_served(subject: Subject) -> None:
    """A 429 is waited for, with `Retry-After: 1` and with 0."""
    subject.only_over_http()
    site = subject.site()
    subject.sandbox.forget_requests()
    with subject.broken("429", 1, after=1, retry_after=1), subject.broken("429", 1, retry_after=0):
        site.load()
    assert [seen.status for seen in subject.sandbox.requests].count(429) == 2
    assert site.tables() == subject.full(), "rows are lost where the upstream asked to wait"


def refused_says_what_to_do(subject: Subject) -> None:
    """Wrong credentials end the run with exit 6 and one line that says where and what to do."""
    subject.only_over_http()
    with subject.broken("401"):
        result = subject.site().run()
    assert result.code == 6, f"exit {result.code} where a person must sign in: {result.err}"
    assert _one_line(subject, result.err), f"not one line with what to do: {result.err}"


def hangs_are_cut(subject: Subject) -> None:
    """An answer that trickles is given up at the deadline, and asked for again."""
    subject.only_over_http()
    site = subject.site()
    with subject.broken("drip", 1, seconds=2):
        result = site.run(settings=SOON | ONCE)
    assert result.code == 5, f"exit {result.code} where an answer hangs: {result}"
    with subject.broken("drip", 1, seconds=2):
        site.load(settings=SOON)
    assert site.tables() == subject.full(), "rows are lost where an answer hung"


def web_page_is_not_data(subject: Subject) -> None:
    """A web page with status 200 ends the run with one line, or makes it partial; no row is lost later."""
    site = subject.site()
    with subject.broken("html", after=max(0, subject.requests - 1)):
        result = site.run(settings=TWICE)
    assert result.code in (1, 3, 5), f"exit {result.code} where a web page came: {result}"
    assert result.code == 3 or _one_line(subject, result.err), f"not one line: {result.err}"
    assert site.load().tables() == subject.full(), "rows are lost after a web page"


def duplicate_page_adds_no_row(subject: Subject) -> None:
    """Rows that the upstream sends twice are in the tables once."""
    subject.only_over_http()
    site = subject.site()
    with subject.broken("duplicate_page"):
        site.load()
    assert site.tables() == subject.full(), "rows that came twice are not in the tables once"


def drift_loses_no_row(subject: Subject) -> None:
    """When fields appear and types change, every row is in its table or in quarantine."""
    subject.only_over_http()
    for after in (0, subject.requests // 2):
        site, result = subject.drifted(after)
        assert result.code in (0, 3), result
        tables, aside = site.tables(), site.quarantined()
        for resource in subject.plan["resources"]:
            found = tables.get(resource["table"], Counter()).total() + aside[resource["name"]]
            assert found >= subject.full().get(resource["table"], Counter()).total(), f"{resource['name']}: rows vanish"
        seen = {cell[0] for rows in tables.values() for row in rows for cell in row}
        assert after or not seen or "new_field" in seen, "a new field vanishes"


def bad_rows_are_quarantined_not_lost(subject: Subject) -> None:
    """Rows in quarantine are told, make the run partial, and are there once however often they are read."""
    subject.only_over_http()
    drifted, first = subject.drifted()
    site, once = subject.site(like=drifted), drifted.quarantined()
    with subject.broken("drift"):
        again = site.run("--mode", "backfill", "--output", "json")
    if not once and first.code == 0:
        pytest.skip(f"{subject.name} declares nothing that a number as text could violate")
    assert (first.code, again.code) == (3, 3), f"exits {first.code} and {again.code} with rows in quarantine"
    assert first.json[0]["rejected"].keys() == once.keys(), "the report tells other rows than are in quarantine"
    assert site.quarantined() == once, "a row is in quarantine more than once"


def no_secret_in_output(subject: Subject) -> None:
    """No planted secret is in what a run prints, leaves behind or loads, whether it ends well or not."""
    planted = _secrets(subject)
    site = subject.site()
    said = [site.run(settings=planted)]
    for kind in ("500", "401"):
        with subject.broken(kind):
            said.append(site.run("--mode", "backfill", "--debug", settings={**planted, **TWICE}))
    said.append(site.etl("state", "show", subject.name))
    left = [file.read_text() for file in site.workspace.root.glob("runs/**/*.json")]
    for text in (*(result.out + result.err for result in said), *left, *_texts(site)):
        assert not (found := re.search(f".*{_any_secret(planted)}.*", text)), f"a secret is told: {found[0][:200]}"


def timestamps_are_utc(subject: Subject) -> None:
    """Moments are typed and carry a zone; none is left as text."""
    site = subject.after(1)
    kinds = {(table, column): kind for table, of in site.columns().items() for column, kind in of.items()}
    rows = subject.full() | site.models()
    for (table, column), kind in kinds.items():
        assert not kind.startswith("timestamp") or "with time zone" in kind, f"{table}.{column}: no zone"
        if kind in TEXT:
            texts = [value for row in rows.get(table, ()) for name, value in row if name == column]
            moments = [text for text in texts if re.fullmatch(MOMENT, text.strip("'"))]
            assert not moments or len(moments) < len(texts), f"{table}.{column}: moments are left as text"


def a_run_leaves_a_trace(subject: Subject) -> None:
    """A run that ends well and one that does not tell what they did, in a folder and in `_etl.runs`."""
    site = subject.loaded()
    with subject.broken("500"):
        bad = site.run("--run-id", "bad", settings=TWICE)
    folder = site.workspace.root / "runs"
    manifest, metrics = (
        json.loads((folder / "run-1" / f"{name}.json").read_text()) for name in ("manifest", "metrics")
    )
    rows = [("bad", bad.code), ("run-1", 0)]
    assert site.query("SELECT run_id, exit_code FROM _etl.runs ORDER BY run_id") == rows
    assert manifest["counts"]["rows_loaded"] >= sum(rows.total() for rows in subject.full().values())
    assert metrics["http"].get(subject.name, {}).get("requests", 0) == subject.requests, "requests are not all told of"
    assert [(folder / run / end).exists() for run in ("run-1", "bad") for end in ("success.ok", "error.json")] == [
        True, False, False, True,
    ]  # fmt: skip


def files_are_moved_once(subject: Subject) -> None:
    """Each file is stored once, as its receipt says; a run with nothing new asks for none but for what was lost."""
    if not subject.files:
        pytest.skip(f"{subject.name} moves no files")
    site, before = subject.site(moving=True), dict[str, tuple[int, str, int]]()
    for day, grows in ((1, True), (1, False), (2, True)):
        subject.sandbox.move_to(day)
        result = site.run("--output", "json")
        assert result.code == 0, f"a run that should be whole is not: {result}"
        objects, moved = site.objects(), sum(files["moved"] for files in result.json[0]["files"].values())
        assert (moved > 0) == grows, f"day {day}: {moved} files are moved"
        assert moved == len(objects) - len(before), "files share an object"
        assert [(key, *told[:2]) for key, told in objects.items()] == site.receipts(), "receipts tell something else"
        assert before.items() <= objects.items(), "an object is stored again"
        before = objects
    if len(subject.files) == 1:  # more than these commands know
        (site.workspace.root / "audio" / min(before)).unlink()
        mended = site.etl("files", "verify", subject.name, "--fix")
        assert (mended.code, "1 will be moved again" in mended.out) == (0, True), mended
        site.load()
        was, now = ([(key, *told[:2]) for key, told in each.items()] for each in (before, site.objects()))
        assert was == now == site.receipts(), "what was lost is not back"


def models_say_what_the_tables_say(subject: Subject) -> None:
    """After runs on two days models are as they are when they are made anew: not stale, and not made up."""
    if not subject.plan["models"]:
        pytest.skip(f"{subject.name} has no models")
    site = subject.site(like=subject.after(1, 1, 2))
    before = site.models()
    made = site.etl("models", subject.name, "--output", "json")
    assert made.code == 0, made
    waiting = {f"{subject.name}.{each['name']}" for each in made.json[0]["models"] if each["status"] == "waits"}
    seldom = {*SELDOM, *waiting}  # which wait for another spec
    often = [model for model in subject.plan["models"] if f"{subject.name}.{model}" not in seldom]
    assert all(before.get(model) for model in often), "a model is empty"
    assert site.models() == before, "a model made anew has other rows"


PROMISES: tuple[Promise, ...] = (
    tells_its_docs,
    builds_without_network,
    every_resource_has_a_key,
    first_run_loads_rows_into_every_resource,
    second_run_changes_nothing,
    next_day_adds_only_what_is_new,
    keys_are_unique_and_never_null,
    a_late_partition_gets_its_history,
    a_failed_run_can_be_repeated,
    limit_never_loses_rows,
    select_never_loses_rows,
    a_window_moves_no_cursor,
    backfill_equals_first_run,
    raw_files_lead_to_the_same_rows,
    throttled_then_served,
    refused_says_what_to_do,
    hangs_are_cut,
    web_page_is_not_data,
    duplicate_page_adds_no_row,
    drift_loses_no_row,
    bad_rows_are_quarantined_not_lost,
    no_secret_in_output,
    timestamps_are_utc,
    a_run_leaves_a_trace,
    files_are_moved_once,
    models_say_what_the_tables_say,
)

OF_A_SOURCE: tuple[Promise, ...] = (
    tells_its_docs,
    builds_without_network,
    every_resource_has_a_key,
    throttled_then_served,
    refused_says_what_to_do,
    hangs_are_cut,
    web_page_is_not_data,
)  # the same whatever the warehouse


def _one_line(subject: Subject, text: str) -> bool:
    """Whether an error is one line that names the spec and says what to do."""
    lines = [line for line in text.splitlines() if not line.startswith("WARNING: ")]
    return len(lines) == 1 and subject.name in lines[0] and ";" in lines[0]


def _secrets(subject: Subject) -> dict[str, str]:
    """Settings with a secret in them: those the source asks for, those the stand-in gives, and one in the address."""
    prefix = f"sources.{subject.name}."
    wanted = [need["path"] for need in subject.plan["needs"] if need["secret"] and need["path"].startswith(prefix)]
    given = {key: value for key, value in subject.settings.items() if SECRET.search(key)}
    secrets = {**dict.fromkeys(wanted, PLANTED), **given}
    if address := subject.settings.get(f"{prefix}base_url"):
        parts = urlsplit(address)
        secrets[f"{prefix}base_url"] = parts._replace(netloc=f"someone:{PLANTED}@{parts.netloc}").geturl()
    return {key.removeprefix(prefix): value for key, value in secrets.items()}


def _any_secret(planted: dict[str, str]) -> str:
    values = {PLANTED, *(value for key, value in planted.items() if key != "base_url")}
    return "|".join(re.escape(value) for value in values)


def _texts(site: Site) -> list[str]:
    """Every text of the warehouse, dlt's own and the engine's tables included."""
    columns = site.query(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema "
        f"NOT IN ('information_schema', 'pg_catalog') AND lower(data_type) IN {(*TEXT, 'json', 'jsonb')}"
    )
    found = site.query.all(
        [f'SELECT CAST("{column}" AS VARCHAR) FROM {schema}."{table}"' for schema, table, column in columns]
    )
    return [text for rows in found for (text,) in rows if text is not None]
