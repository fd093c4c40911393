"""Coverage: holes in a year are found, and the commands that are printed fill them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest

from pipelines.coverage.calendar import MARKS
from tests import coverage_toy, year_toy
from tests.coverage_toy import row
from tests.postgres_server import database
from tests.scripted_server import reply, serving
from tests.workspace import Workspace


@pytest.fixture
def upstream() -> year_toy.Upstream:
    return year_toy.Upstream()


@pytest.fixture
def year(workspace, upstream) -> Iterator[Workspace]:
    """A workspace with a year of days, its upstream at work."""
    with serving(upstream) as server:
        yield year_toy.install(workspace(), server.url)


def at(*moment: int) -> type[datetime]:
    """A clock that stands at a moment of UTC."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(*moment, tzinfo=UTC)

    return Clock


def missing(workspace: Workspace, *words: str) -> dict[str, dict[str, str]]:
    """The units that are missing, by resource, each with its state."""
    told = workspace.etl("coverage", "year", "--env", "test", "--output", "json", *words)
    assert told.code == (4 if told.json["holes"] else 0), told.err
    return {
        sheet["resource"]: {
            unit["unit"]: unit["state"]
            for unit in sheet["units"]
            if unit["state"] in ("failed", "missing", "in part", "never asked")
        }
        for sheet in told.json["resources"]
    }


def delete(workspace: Workspace, *statements: str) -> None:
    with duckdb.connect(str(workspace.root / "warehouse.duckdb")) as connection:
        for statement in statements:
            connection.execute(f"DELETE FROM year.{statement}")


def fill(workspace: Workspace) -> None:
    """Run what the calendar prints."""
    told = workspace.etl("coverage", "year", "--env", "test")
    commands = [line.strip() for line in told.out.splitlines() if line.startswith("  etl run ")]
    assert commands, told.out
    for command in commands:
        result = workspace.etl(*shlex.split(command)[1:])
        assert result.code == 0, result.err


def test_holes_in_a_year_are_found_and_filled(year, upstream):
    assert {len(found) for found in missing(year).values()} == {366}
    upstream.broken = {date(2024, 5, 4), date(2024, 5, 5)}
    assert year.etl("run", "year", "--env", "test").code == 3
    assert missing(year) == {"steps": {"2024-05-04": "failed", "2024-05-05": "failed"}, "sleep": {}}
    ends = year.query("SELECT max(until) FROM _etl.coverage WHERE resource = 'sleep'")
    assert ends == [(datetime(2025, 1, 1, tzinfo=UTC),)]  # where its cursor ends, not now
    delete(
        year,
        "steps WHERE day IN ('2024-02-29', '2024-03-31', '2024-05-06')",
        "sleep WHERE ended = '2024-03-30 23:30:00+00'",
    )
    assert missing(year) == {
        "steps": {
            "2024-02-29": "missing",
            "2024-03-31": "missing",
            "2024-05-04": "failed",
            "2024-05-05": "failed",
            "2024-05-06": "missing",
        },
        "sleep": {"2024-03-31": "missing"},
    }
    upstream.broken = set()
    print(year.etl("coverage", "year", "--env", "test").out)
    fill(year)
    assert missing(year) == {"steps": {}, "sleep": {}}
    assert year.query("SELECT count(*) FROM year.steps") == [(366 - 12,)]


DAYS = """\
  days:
    coverage:
      {by: day, column: at, since: 2024-03-30, until: 2024-04-03, per: {columns: [who, match], argument: accounts}}
"""
PLAIN = "  days:\n    coverage: {by: day, column: at, since: 2024-03-30, until: 2024-04-03}\n"
ITEMS = """\
  stats:
    coverage: {by: item, column: match, of: games.match, argument: matches}
"""


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed at the end of a test."""
    with ExitStack() as found:
        yield found


@pytest.fixture
def toy(workspace) -> Workspace:
    """A workspace with a source that does as it is told; its days are those of Berlin."""
    return coverage_toy.install(workspace(), PLAIN)


def states(workspace: Workspace, env: str = "test", *words: str) -> list[str]:
    """Each sheet in one line: whose it is, and its marks; and the commands."""
    told = workspace.etl("coverage", "toy", "--env", env, "--output", "json", *words)
    assert told.code == (4 if told.json["holes"] else 0), told.err
    sheets = [
        f"{sheet['account'] or ''} {''.join(MARKS[unit['state']] for unit in sheet['units'])}".strip()
        for sheet in told.json["resources"]
    ]
    return sheets + [hole["command"].removeprefix(f"etl run toy --env {env} --select ") for hole in told.json["holes"]]


def run(workspace: Workspace, *words: str, env: str = "test", **said: list[Any]) -> int:
    """Tell the source what to say, and run it."""
    coverage_toy.say(workspace, **said)
    result = workspace.etl("run", "toy", "--env", env, *words)
    return result.code


def test_accounts_have_days_of_their_own(toy):
    coverage_toy.install(toy, DAYS)
    assert states(toy) == ["ann ????", "bob ????", "days --since 2024-03-30 --until 2024-04-03"]
    night = row(1, "2024-03-31T22:30:00Z", who="ANN")  # in Berlin it is the first of April
    both = row(2, "2024-03-30T12:00:00Z", who="x", match="Bob")
    stranger = row(3, "2024-04-02T12:00:00Z", who="eve", match="eve")
    covered = [["covered", "2024-03", 0, "Ann"], ["failed", "bob", "gone", "2024-04-02", "bob"]]
    assert run(toy, days=[night, both, stranger, *covered]) == 3
    assert states(toy) == [
        "ann ..#?",
        "bob #??x",
        "days --since 2024-03-31 --until 2024-04-03 --with accounts=bob",
        "days --since 2024-04-02 --until 2024-04-03 --with accounts=ann",
    ]
    assert run(toy, days=[["covered", "2024-03-30/2024-04-03", 0, account] for account in ("ann", "bob", "eve")]) == 0
    assert states(toy) == ["ann ..#.", "bob #..."]


def test_a_table_that_is_replaced_was_asked_for_as_a_whole(toy):
    coverage_toy.install(toy, DAYS.replace("coverage:", "write_disposition: replace\n    coverage:"))
    rows = [row(1, "2024-03-31T12:00:00Z", who="ann"), row(2, "2024-04-01T12:00:00Z", who="bob")]
    assert run(toy, days=[*rows, ["failed", "somebody", "away"]]) == 3
    assert states(toy)[:2] == ["ann ?#??", "bob ??#?"]
    assert run(toy, days=rows) == 0
    assert states(toy) == ["ann .#..", "bob ..#."]
    with duckdb.connect(str(toy.root / "warehouse.duckdb")) as connection:
        connection.execute("DELETE FROM toy.days WHERE id = 2")
    assert states(toy) == ["ann .#..", "bob ..!.", "days"]


def test_the_last_word_counts_and_only_of_whole_runs(toy):
    asked = ["covered", "2024-03-30/2024-04-03"]
    assert run(toy, "--limit", "1", days=[asked]) == 0
    assert run(toy, days=[asked, ["raise", "no"]]) == 1
    assert states(toy)[0] == "????"
    assert "coverage" not in {name for (name,) in toy.query("SELECT table_name FROM information_schema.tables")}
    assert run(toy, days=[["failed", "f", "away", "2024-03-30"], ["covered", "2024-04-02", 5]]) == 3
    assert states(toy)[0] == "x??!"
    assert run(toy, days=[asked, ["failed", "f", "away", "2024-04-01"]]) == 3
    assert states(toy)[0] == "..x."
    assert run(toy, days=[asked]) == 0
    assert states(toy) == ["...."]
    told = toy.etl("coverage", "toy", "--env", "test")
    assert (told.code, told.out.splitlines()[-1]) == (0, "toy: nothing is missing in test")


def test_a_day_that_was_asked_for_in_part_is_not_loaded(toy):
    half = ["covered", "2024-03-30/2024-04-01T12:00:00+02:00", 1]
    assert run(toy, days=[row(1, "2024-04-01T03:00:00Z"), half]) == 0
    assert states(toy) == ["!!~?", "days --since 2024-03-30 --until 2024-04-03"]
    told = toy.etl("coverage", "toy", "--env", "test").out.splitlines()
    assert "2024-03-30 to 2024-04-02, days: 2 missing, 1 in part, 1 never asked" in told
    rest = ["covered", "2024-04-01T12:00:00+02:00/2024-04-03"]
    assert run(toy, days=[["covered", "2024-03-30/2024-04-01"], rest]) == 0
    assert states(toy) == ["..#."]


@pytest.mark.parametrize(("by", "mark"), [("day", "#-"), ("month", "-")])
def test_the_day_that_runs_was_not_asked_for_to_its_end(toy, by, mark, monkeypatch):
    """Whatever is claimed of it; when it is over, it is known in part."""
    coverage_toy.install(toy, PLAIN.replace("2024-03-30, until: 2024-04-03", "2024-04-01").replace("day,", f"{by},"))
    monkeypatch.setattr("pipelines.report.datetime", at(2024, 4, 2, 10))
    monkeypatch.setattr("pipelines.demo.datetime", at(2024, 4, 2, 10))
    said = [row(n, f"2024-04-0{n}T09:00:00Z") for n in (1, 2)]
    assert run(toy, days=[*said, ["covered", "2024-04", 2], ["covered", "2024-05"]]) == 0
    assert states(toy) == [mark]
    monkeypatch.setattr("pipelines.demo.datetime", at(2024, 6, 1))
    assert states(toy)[0] == ("#~" + "?" * 59 + "-" if by == "day" else "~?-")
    monkeypatch.setattr("pipelines.report.datetime", at(2024, 6, 1))
    assert run(toy, days=[["covered", "2024-04-01/2024-06-02"]]) == 0
    assert states(toy)[0] == ("##" + "." * 59 + "-" if by == "day" else "#.-")


def test_a_run_across_midnight_leaves_no_day_in_part(toy, monkeypatch):
    """Where the source says when it has asked: after the day was over."""
    coverage_toy.install(toy, PLAIN.replace("2024-03-30, until: 2024-04-03", "2024-04-01"))
    monkeypatch.setattr("pipelines.report.datetime", at(2024, 4, 1, 21, 59))  # two hours before midnight in UTC
    monkeypatch.setattr("pipelines.demo.datetime", at(2024, 4, 2, 10))
    day = row(1, "2024-04-01T09:00:00Z")
    assert run(toy, days=[day, ["covered", "2024-04-01"], ["covered", "2024-04-02"]]) == 0
    assert states(toy)[0] == "~-"
    assert run(toy, days=[day, ["asked", "2024-04-01", "2024-04-02T00:01:00+02:00"], ["covered", "2024-04-02"]]) == 0
    assert states(toy)[0] == "#-"


def test_long_stretches_that_say_the_same_are_folded(toy):
    years = PLAIN.replace("2024-03-30, until: 2024-04-03", "2014-04-01, until: 2024-03-01").replace("day,", "month,")
    coverage_toy.install(toy, years)
    assert run(toy, days=[row(1, "2023-04-01T09:00:00Z"), ["covered", "2014-04-01/2024-03-01"]]) == 0
    lines = toy.etl("coverage", "toy", "--env", "test").out.splitlines()
    assert lines[2:8] == [
        "  2014        .........",
        "  …        7 lines like these",
        "  2022     ............",
        "  2023     ...#........",
        "  2024     ..",
        "# loaded  . empty",
    ]


def test_rows_from_before_coverage_was_written_are_loaded(toy):
    assert run(toy, "--limit", "9", days=[row(1, "2024-04-01T03:00:00Z"), row(2, "2024-03-30T03:00:00Z")]) == 0
    assert run(toy, days=[["covered", "2024-04-01T12:00:00Z/2024-04-03"]]) == 0
    assert states(toy) == ["#?~.", "days --since 2024-03-31 --until 2024-04-02"]


def test_rows_of_a_month_that_goes_on_do_not_make_it_whole(toy, monkeypatch):
    """Whether somebody has asked for the part of it that is over, or nobody."""
    coverage_toy.install(toy, PLAIN.replace("2024-03-30, until: 2024-04-03", "2024-03-01").replace("day,", "month,"))
    for module in ("pipelines.report.datetime", "pipelines.demo.datetime"):
        monkeypatch.setattr(module, at(2024, 4, 2, 10))
    said = [row(n, f"2024-0{n}-01T09:00:00Z") for n in (3, 4)]
    assert run(toy, days=[*said, ["covered", "2024-03"]]) == 0
    assert states(toy) == ["#-"]
    monkeypatch.setattr("pipelines.demo.datetime", at(2024, 5, 2))
    assert states(toy)[0] == "##-", "rows from before coverage was written"


def test_a_month_that_is_declared_in_part_need_not_be_asked_for_whole(toy):
    declared = PLAIN.replace("by: day", "by: month").replace("03-30", "03-15")
    coverage_toy.install(toy, declared)
    said = [row(1, "2024-03-20T09:00:00Z"), row(2, "2024-04-01T09:00:00Z")]
    assert run(toy, days=[*said, ["covered", "2024-03-15/2024-04-03"]]) == 0
    assert states(toy) == ["##"]


def test_what_is_written_stays_small(toy, monkeypatch):
    monkeypatch.setattr("pipelines.coverage.claims.ROWS_TO_TIDY", 3)
    counts = []
    for day in ("2024-03-30", "2024-03-31", "2024-04-01/2024-04-03"):
        assert run(toy, days=[["covered", day]]) == 0
        counts += toy.query("SELECT count(*) FROM _etl.coverage")
    assert counts == [(1,), (2,), (1,)]
    assert states(toy) == ["...."]


def test_a_window_narrows_what_is_declared(toy):
    assert states(toy, "test", "--since", "2024-04-01")[0] == "??"
    assert states(toy, "test", "--since", "2020-01-01", "--until", "2024-03-30T12:00")[0] == "?"
    assert states(toy, "test", "--since", "2025-01-01") == [""]
    assert not (toy.root / "warehouse.duckdb").exists()


def test_the_newest_days_may_still_come(toy, monkeypatch):
    monkeypatch.setattr("pipelines.demo.datetime", at(2024, 4, 2, 10))
    assert states(toy)[0] == "???-"
    coverage_toy.install(toy, PLAIN.replace("until: 2024-04-03", "settle: 34h"))
    assert states(toy)[0] == "??--"
    coverage_toy.install(toy, PLAIN.replace("until: 2024-04-03", "settle: 1d").replace("by: day", "by: month"))
    assert states(toy)[0] == "?-"


def test_rows_in_quarantine_are_told_apart(toy):
    bad = {"id": "x", "at": "2024-04-01T12:00:00Z"}
    said = [["row", bad], ["row", {"id": 1, "at": "soon"}], ["covered", "2024-03-30/2024-04-03", 2]]
    assert run(toy, days=said) == 3
    told = toy.etl("coverage", "toy", "--env", "test")
    assert told.code == 4
    assert "toy.days: 4 days: 1 quarantined, 3 missing, 1 row in quarantine without a day" in told.out
    assert "rows in quarantine: etl quarantine list toy --env test" in told.out.splitlines()
    assert run(toy, days=[["covered", "2024-03-30/2024-04-03"]]) == 0
    assert states(toy) == ["..q."]


BAD = {"id": "x", "at": "2024-04-01T12:00:00Z", "who": "Bob", "match": "m4"}


@pytest.mark.parametrize(
    ("resources", "resource", "claims", "before", "after"),
    [
        (PLAIN, "days", [["covered", "2024-03-30/2024-04-03"]], "..q.", "..!."),
        (PLAIN.replace("by: day", "by: month"), "days", [["covered", "2024-03"], ["covered", "2024-04"]], ".q", ".!"),
        (DAYS, "days", [["covered", "2024-03", 0, "ann"], ["covered", "2024-04", 0, "bob"]], "bob ??q.", "bob ??!."),
        (ITEMS, "stats", [["covered", "m3"], ["covered", "m4"]], ".q", ".!"),
    ],
)
def test_a_day_whose_rows_were_dropped_is_not_empty(toy, resources, resource, claims, before, after):
    coverage_toy.install(toy, resources)
    assert run(toy, **{resource: [["row", BAD], *claims]}) == 3
    assert before in states(toy)
    assert toy.etl("quarantine", "drop", "toy", "--env", "test", "--yes").code == 0
    assert after in states(toy)
    assert run(toy, **{resource: claims}) == 0  # it is gone upstream, too
    assert after.replace("!", ".") in states(toy)


def test_days_at_the_ends_of_the_calendar(toy):
    odd = [["row", {"id": "x", "at": at}] for at in ("0001-01-01T00:00:00+09:00", "9999-12-31T23:00:00-09:00")]
    assert run(toy, days=[*odd, ["covered", "2024-03-30/2024-04-03"]]) == 3
    assert states(toy)[0] == "...."
    assert toy.etl("coverage", "toy", "--env", "test", "--since", "0001-01-01").code == 2
    coverage_toy.say(toy, days=[["covered", "9999-12-31"]])
    told = toy.etl("run", "toy", "--env", "test")
    assert told.code == 1
    assert "sources/toy: days tells of '9999-12-31', which is no day, month or interval" in told.err


LEAKS = ["hunter2", "s3cr3t", "k3y"]


def test_what_is_told_of_failed_items_holds_no_secret_and_fits(toy):
    address = "https://ann:hunter2@api.example.org/v1/days?page=2&api_key=s3cr3t"
    reasons = {
        "2024-03-30": f"{address}: answered 500",
        "2024-03-31": "HTTPConnectionPool(host='x'): Max retries exceeded with url: /v1?sig=k3y (Caused by y)",
        "2024-04-01": "x_token_id=s3cr3t is refused by postgres://ann:hun?ter2@db/x, " + "é" * 10_000,
    }
    said = [["failed", address, reason, day] for day, reason in reasons.items()]
    coverage_toy.say(toy, days=[*said, ["warning", f"{address} is slow"]])
    told = toy.etl("run", "toy", "--env", "test", "--output", "json")
    assert told.code == 3
    kept = [path.read_text() for path in (toy.root / "runs").rglob("*.json")]
    kept += [told.out, told.err, toy.etl("coverage", "toy", "--env", "test").out]
    rows = dict(toy.query("SELECT strftime(until, '%Y-%m-%d'), reason FROM _etl.coverage"))
    assert rows["2024-03-30"] == "https://…@api.example.org/v1/days?… answered 500"
    assert rows["2024-03-31"] == ("HTTPConnectionPool(host='x'): Max retries exceeded with url: /v1?… (Caused by y)")
    cut = f"x_token_id=… is refused by postgres://…@db/x, {'é' * 10_000}"
    assert rows["2024-04-01"] == f"{cut[:500]}… ({len(reasons['2024-04-01'])} characters)"
    assert [leak for leak in [*LEAKS, "ter2"] for text in (*kept, *rows.values()) if leak in text] == []
    assert "é" * 500 not in "".join(kept)


def test_items_of_another_table(toy):
    coverage_toy.install(toy, ITEMS)
    games = [row(n, "2024-04-01T12:00:00Z", match=f"m{n}") for n in range(1, 7)]
    stats = [
        row(1, "2024-04-01T12:00:00Z", match="m1"),
        ["covered", "m2"],
        ["failed", "m3", "answered 500", "m3"],
        ["row", {"id": "x", "match": "m4"}],
        ["covered", "page 7"],
    ]
    assert run(toy, games=games, stats=stats) == 3
    assert states(toy) == ["#.xq??.", "stats --with matches=m3,m5,m6"]
    assert (
        "m3, m5, m6, stats: 1 failed, 2 never asked (answered 500)" in toy.etl("coverage", "toy", "--env", "test").out
    )
    assert run(toy, stats=[["failed", "m7,8", "two\nlines", "m7,8"]]) == 3
    told = toy.etl("coverage", "toy", "--env", "test").out.splitlines()
    assert r"m3, m5, m6, …, stats: 2 failed, 2 never asked (answered 500; two\nlines)" in told
    assert """  etl run toy --env test --select stats --with 'matches=["m3", "m5", "m6", "m7,8"]'""" in told
    assert run(toy, stats=[row(3, "2024-04-01T12:00:00Z", match="m3"), ["failed", "m3", "again", "m3"]]) == 3
    assert states(toy)[0] == "#.#q??x."


@pytest.mark.parametrize(
    ("kind", "second", "commands"),
    [
        ("list[str] | None", "b", ["""stats --with 'matches=["[x]", "b"]'"""]),
        ("str | None", "a,b", ["stats --with 'matches=[x]'", "stats --with matches=a,b"]),
    ],
)
def test_the_command_names_items_as_they_are(toy, kind, second, commands):
    coverage_toy.install(toy, ITEMS)
    source = toy.root / "sources/toy.py"
    source.write_text(source.read_text().replace("matches: list[str] | None", f"matches: {kind}"))
    assert run(toy, games=[row(n, "2024-04-01T12:00:00Z", match=name) for n, name in enumerate(("[x]", second))]) == 0
    assert states(toy)[1:] == commands
    assert [toy.etl(*shlex.split(f"run toy --env test --select {command}")).code for command in commands] == [
        0 for _ in commands
    ]


@pytest.mark.parametrize("env", ["test", "pg"])
def test_accounts_in_other_letters(toy, env, request):
    """In a Postgres, too, to which only A to Z are letters."""
    if env == "pg":
        place = database(request.getfixturevalue("postgres_server"), locale="C")
        toy.postgres(request.getfixturevalue("stack").enter_context(place))
    coverage_toy.install(toy, DAYS)
    names = ["ΟΔΥΣΣΕΥΣ", "Émile", "groß"]
    spec = toy.root / "specs/toy.yaml"
    spec.write_text(spec.read_text().replace("[Ann, bob]", f"[{', '.join(names)}]"))
    rows = [row(n, "2024-04-01T12:00:00Z", who=name) for n, name in enumerate(names)]
    assert run(toy, days=[*rows, *(["covered", "2024-03-30/2024-04-03", 0, name] for name in names)], env=env) == 0
    assert states(toy, env) == ["οδυσσευς ..#.", "émile ..#.", "groß ..#."]


def test_a_day_that_a_zone_left_out_is_none(toy):
    coverage_toy.install(toy, PLAIN.replace("2024-03-30", "2011-12-29").replace("2024-04-03", "2012-01-01"))
    spec = toy.root / "specs/toy.yaml"
    spec.write_text(spec.read_text().replace("Europe/Berlin", "Pacific/Apia"))
    rows = [row(1, "2011-12-30T09:59:59Z"), row(2, "2011-12-30T10:00:00Z")]  # with no 30th between them
    assert run(toy, days=[*rows, ["covered", "2011-12-29/2012-01-01"]]) == 0
    assert states(toy) == ["##"]


EVERY_FORM = """\
  days:
    coverage:
      {by: day, column: at, since: 2024-03-30, until: 2024-04-03, per: {columns: [who, match], argument: accounts}}
  games:
    coverage: {by: day, column: local_at, since: 2024-03-30, until: 2024-04-03}
  stats:
    coverage: {by: month, column: day, since: 2024-02-29, until: 2024-04-03}
"""


def the_same_everywhere(workspace: Workspace, env: str) -> None:
    """Moments, local times and days; two accounts; failed, missing, quarantined."""
    coverage_toy.install(workspace, EVERY_FORM)
    before = ["ann ????", "bob ????", "????", "???"]
    assert states(workspace, env)[:4] == before
    late = row(1, "2024-03-31T22:30:00Z", who="Ann", match="bob")
    days = [late, row(2, "2024-03-30T22:30:00Z", who="Bob"), ["covered", "2024-04-02", 3, "bob"]]
    games = [late, ["failed", "f", "away", "2024-04-01"], ["covered", "2024-04-02/2024-04-03"]]
    stats = [late, ["row", {"id": "x", "day": "2024-04-01"}], ["covered", "2024-02"]]
    assert run(workspace, env=env, days=days, games=games, stats=stats) == 3
    assert states(workspace, env)[:4] == ["ann ??#?", "bob #?#!", "?#x.", ".#q"]


def test_on_duckdb(workspace):
    the_same_everywhere(workspace(), "test")


def test_on_postgres(workspace, postgres_url):
    made = workspace()
    made.postgres(postgres_url)
    the_same_everywhere(made, "pg")


def test_on_bigquery(workspace, project, monkeypatch):
    monkeypatch.setattr("dlt.destinations.impl.bigquery.bigquery.sleep", lambda seconds: None)
    made = workspace()
    made.bigquery(project.variables)
    the_same_everywhere(made, "bq")


def test_the_months_of_chess_players(workspace, sandbox, monkeypatch):
    monkeypatch.setattr("pipelines.demo.datetime", at(2024, 3, 1, 12))  # the sandbox's; real now is years later
    made = workspace("chess")
    made.point_at(sandbox.settings("chess"))
    assert made.etl("run", "chess", "--env", "test", "--select", "games").code == 0
    look = ("coverage", "chess", "--env", "test")
    assert made.etl(*look).code == 0
    with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
        connection.execute("DELETE FROM chess.games WHERE end_time < '2023-05-01'")
    fills = "etl run chess --env test --select games --since 2023-04-01 --until 2023-05-01 --with players=demo_anna"
    assert ending(made, *look) == [
        "2023-04, games of demo_anna: 1 missing", f"  {fills}", "chess: 1 missing in test"
    ]  # fmt: skip
    assert made.etl(*shlex.split(fills)[1:]).code == 0
    assert made.etl(*look).code == 0
    monkeypatch.setattr("pipelines.demo.datetime", at(2024, 3, 10))
    fills = "etl run chess --env test --select games --since 2024-02-01 --until 2024-03-01"
    assert ending(made, *look) == ["2024-02, games: 2 in part", f"  {fills}", "chess: 2 missing in test"]


def ending(workspace, *command: str) -> list[str]:
    """The last hole that a command shows, what fills it, and the sum."""
    told = workspace.etl(*command)
    assert told.code == 4
    return told.out.splitlines()[-3:]


AT = "coverage: {by: day, column: at, since: 2024-03-30"
WRONG = [
    ("coverage: {by: week, column: at, since: 2024-03-30}", ".by: expected one of: day, month, item"),
    ("coverage: {by: day, column: at}", ".since: missing; add it"),
    ("coverage: {by: day, column: at, since: 2024-02-30}", ".since: expected a day such as 2024-01-31"),
    ("coverage: {by: day, column: at, since: 0001-01-01}", ".since: expected a day from 0002-01-01 to 9998-12-31"),
    (f"{AT}, until: 9999-12-31}}", ".until: expected a day from 0002-01-01 to 9998-12-31"),
    (f"{AT}, until: 2024-03-30}}", ".until: expected a day after since, 2024-03-30"),
    (f"{AT}, settle: 2w}}", ".settle: expected hours or days such as 12h or 2d"),
    (f"{AT}, of: games.match}}", ".of: unknown key"),
    ("coverage: {by: day, column: ad, since: 2024-03-30}", ".column: no column 'ad' with a data_type is declared"),
    ("coverage: {by: day, column: who, since: 2024-03-30}", ".column: who is a text, expected a timestamp or a date"),
    (f"{AT}, per: {{columns: whom, argument: accounts}}}}", ".per.columns: no column 'whom' with a data_type"),
    (f"{AT}, per: {{columns: who, argument: account}}}}", ".per.argument: the source has no such argument (did you"),
    ("coverage: {by: item, column: match, of: game.match}", ".of: no such resource (did you mean 'games'?)"),
    ("coverage: {by: item, column: match, of: games.nr}", ".of: no column 'nr' with a data_type is declared"),
    ("coverage: {by: item, column: match, of: games}", ".of: expected resource.column, e.g. matches.match_id"),
    ("coverage: {by: item, column: match, argument: match}", ".argument: the source has no such argument"),
]


@pytest.mark.parametrize(("hint", "message"), WRONG)
def test_a_wrong_coverage_is_refused(toy, hint, message):
    coverage_toy.install(toy, f"  days:\n    {hint}\n")
    told = toy.etl("validate", "toy")
    assert told.code == 2
    assert f"resources.days.coverage{message}" in told.out
    assert toy.etl("coverage", "toy", "--env", "test").code == 2
    assert toy.etl("run", "toy", "--env", "test").code == 2
    assert not (toy.root / "warehouse.duckdb").exists()


def test_a_spec_without_coverage_is_told_what_to_add(toy):
    coverage_toy.install(toy, "  days: {}\n")
    told = toy.etl("coverage", "toy", "--env", "test")
    assert (told.code, told.err) == (
        2,
        "specs/toy.yaml: declares no coverage; add one to a resource, "
        "e.g. coverage: {by: day, column: created_at, since: 2024-01-01}\n",
    )


FEED = """\
name: feed
about: A feed.
rest:
  client: {{base_url: {url}}}
  resources:
    - name: events
      primary_key: id
      write_disposition: {disposition}
      endpoint: {{path: events{params}}}
resources:
  events:
    columns: {{created__at: {{data_type: timestamp}}}}
    coverage: {{by: day, column: created__at, since: 2024-01-01, until: 2024-01-06}}
"""
CURSOR = ", params: {since: {type: incremental, cursor_path: created.at, initial_value: 2024-01-01T00:00:00Z}}"
NEW_YEAR, NEWEST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("disposition", "params", "begins", "window"),
    [
        ("merge", CURSOR, [NEW_YEAR, NEWEST], " --since 2024-01-03 --until 2024-01-05"),
        ("replace", "", [NEW_YEAR], ""),
    ],
)
def test_a_rest_spec_asks_as_far_as_its_cursor_goes_or_for_all(workspace, disposition, params, begins, window):
    made = workspace()
    rows = [{"id": day, "created": {"at": f"2024-01-0{day}T12:00:00Z"}} for day in (1, 3, 4)]
    look = ("coverage", "feed", "--env", "test")
    with serving(lambda asked: reply(200, rows)) as server:
        made.write("specs/feed.yaml", FEED.format(url=server.url, disposition=disposition, params=params))
        for _ in begins:
            assert made.etl("run", "feed", "--env", "test").code == 0
        told = made.query("SELECT min(since) FROM _etl.coverage GROUP BY run_id ORDER BY run_id")
        assert [moment for (moment,) in told] == begins
        assert "5 days: 3 loaded, 2 empty" in made.etl(*look).out
        with duckdb.connect(str(made.root / "warehouse.duckdb")) as connection:
            connection.execute("DELETE FROM feed.events WHERE id > 1")
        told = made.etl(*look).out.splitlines()
        assert told[-3:-1] == [
            "2024-01-03 to 2024-01-04, events: 2 missing",
            f"  etl run feed --env test --select events{window}",
        ]
        assert made.etl(*shlex.split(told[-2])[1:]).code == 0
    assert made.etl(*look).code == 0


def test_a_row_that_came_during_a_run_leaves_no_gap(workspace):
    made, met = workspace(), []

    def answer(asked):
        met.append(datetime.now(UTC))
        return reply(200, [{"id": len(met), "created": {"at": met[-1].isoformat()}}])

    with serving(answer) as server:
        made.write("specs/feed.yaml", FEED.format(url=server.url, disposition="merge", params=CURSOR))
        for _ in range(2):
            assert made.etl("run", "feed", "--env", "test").code == 0
    told = made.query("SELECT min(since), max(until) FROM _etl.coverage GROUP BY run_id ORDER BY run_id")
    assert told == [(NEW_YEAR, met[0]), (met[0], met[1])]
