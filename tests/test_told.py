"""Who else is told how runs end: Prometheus, a webhook, Slack, GitHub Actions."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket

import duckdb
import pytest

from pipelines.errors import Exit, annotation
from pipelines.report import Report
from pipelines.telling import github, metrics, notify
from tests import killed
from tests.killed import At
from tests.scripted_server import RESET, head, in_turn, reply, serving
from tests.toys import rows, toy
from tests.workspace import DESTINATIONS

BAD = {"id": "x", "changed": "2024-01-01T00:00:00Z", "amount": 1.0}
SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)+)\} (\d+(?:\.\d+)?(?:e[+-]\d+)?)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def parsed(text: str) -> dict[tuple[str, ...], float]:
    """The samples of a text by name and labels; each line must be one that Prometheus takes, each family whole."""
    found, family, seen = {}, None, set()
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, *_ = line.split(" ", 3)
            assert word in ("HELP", "TYPE")
            assert word == "TYPE" or name not in seen
            family = name
            seen.add(name)
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        assert match[1] == family
        labels = tuple(re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), v) for _, v in LABEL.findall(match[2]))
        assert (match[1], *labels) not in found
        found[(match[1], *labels)] = float(match[3])
    return found


@pytest.fixture
def engine(workspace):
    made = workspace()
    toy(made, [*rows(3), BAD])
    return made


# metrics


def test_the_metrics_of_a_partial_run_and_the_good_one_after_it(engine):
    file = engine.root / "of runs" / "etl.prom"
    assert engine.etl("run", "toy", "--env", "test", "--metrics-file", str(file)).code == 3
    told, run = parsed(file.read_text()), ("toy", "test")
    assert told["etl_run_exit_code", *run] == 3
    assert told["etl_run_table_rows", *run, "things"] == 3
    assert told["etl_run_rows_loaded", *run] == 4
    assert told["etl_run_rows_rejected", *run] == 1
    assert told["etl_run_end_timestamp_seconds", *run] >= told["etl_run_start_timestamp_seconds", *run]
    assert ("etl_run_step_seconds", *run, "extract") in told
    assert ("etl_run_last_success_timestamp_seconds", *run) not in told
    assert parsed(engine.etl("metrics", "--env", "test").out) == told

    toy(engine, rows(3))
    assert engine.etl("run", "toy", "--env", "test", ETL_METRICS_FILE=str(file)).code == 0
    good = parsed(file.read_text())
    succeeded = good["etl_run_last_success_timestamp_seconds", *run]
    assert succeeded == good["etl_run_end_timestamp_seconds", *run]

    engine.variables["SOURCES__TOY__ROWS_FILE"] = "missing.json"
    toy(engine, rows(1), "other")
    assert engine.etl("run", "--all", "--env", "test", "--metrics-file", str(file)).code == 1
    both = parsed(file.read_text())
    assert both["etl_run_exit_code", *run] == 1
    assert both["etl_run_exit_code", "other", "test"] == 0
    assert both["etl_run_last_success_timestamp_seconds", *run] == succeeded
    assert parsed(engine.etl("metrics", "--env", "test").out) == both
    alone = parsed(engine.etl("metrics", "toy", "--env", "test").out)
    assert alone == {key: value for key, value in both.items() if key[1] == "toy"}


def test_a_killed_run_is_told(engine):
    killed.killed(engine, At("pipelines.load:Load.run"), "run", "toy", "--env", "test")
    toy(engine, [], "other")
    file = engine.root / "etl.prom"
    assert engine.etl("run", "other", "--env", "test", "--metrics-file", str(file)).code == 0
    assert not any(key[1] == "toy" for key in parsed(file.read_text()))
    engine.etl("run", "toy", "--env", "test", "--limit", "1", "--run-id", "again")
    shutil.rmtree(engine.root / "runs/again")
    with duckdb.connect(str(engine.root / "warehouse.duckdb")) as connection:
        connection.execute("DELETE FROM _etl.runs WHERE run_id = 'again'")
    told = parsed(engine.etl("metrics", "toy", "--env", "test").out)
    assert told["etl_run_exit_code", "toy", "test"] == 1
    assert ("etl_run_end_timestamp_seconds", "toy", "test") not in told
    engine.etl("run", "other", "--env", "test", "--metrics-file", str(file))
    assert parsed(file.read_text())["etl_run_exit_code", "toy", "test"] == 1


def test_a_run_with_a_limit_is_no_success_and_a_spec_that_is_gone_is_told_no_more(engine):
    """Whether they are asked from the destination or from what this machine remembers."""
    toy(engine, rows(3))
    toy(engine, rows(1), "other")
    file, succeeded = engine.root / "etl.prom", "etl_run_last_success_timestamp_seconds"
    assert engine.etl("run", "--all", "--env", "test", "--limit", "1", "--metrics-file", str(file)).code == 0
    for told in (file.read_text(), engine.etl("metrics", "--env", "test").out):
        assert (parsed(told)["etl_run_exit_code", "toy", "test"], succeeded in told) == (0, False)
    (engine.root / "specs/other.yaml").unlink()
    assert engine.etl("run", "toy", "--env", "test", "--metrics-file", str(file)).code == 0
    for told in (file.read_text(), engine.etl("metrics", "--env", "test").out):
        assert ((succeeded, "toy", "test") in parsed(told), '"other"' in told) == (True, False)


def test_metrics_without_a_run_or_a_spec(engine):
    assert engine.etl("metrics", "--env", "test").out == ""
    refused = engine.etl("metrics", "toi", "--env", "test")
    assert (refused.code, refused.err) == (2, "no spec named 'toi' (did you mean 'toy'?); known: toy\n")


def test_metrics_that_cannot_be_written_change_no_exit_code(engine):
    toy(engine, rows(1))
    (engine.root / "full").mkdir()
    result = engine.etl("run", "toy", "--env", "test", "--metrics-file", "full")
    assert (result.code, result.err) == (
        0, "WARNING: full: Is a directory; the metrics of this run were not written there\n"
    )  # fmt: skip


def test_a_folder_of_runs_that_is_none_harms_no_run(engine):
    toy(engine, rows(1))
    toy(engine, rows(1), "never_run")
    engine.write("runs/someone's/manifest.json", "[]")
    engine.write("runs/cut off/manifest.json", '{"run_id": "1", "spec": "toy", "environment": "test"}')
    engine.write("runs/mended/manifest.json", '{"run_id": "2", "finished_at": "soon", "counts": 3}')
    result = engine.etl("run", "toy", "--env", "test", "--metrics-file", "etl.prom")
    assert (result.code, result.err) == (0, "")


def test_labels_are_escaped(engine, monkeypatch):
    name = 'a "b"\n\\n'
    run = Report("1", name, "test", "incr", "d", exit=Exit.OK).row()
    told = parsed(metrics.text_of([metrics.Latest(run, None, {"seconds": {name: 0.5}})]))
    assert told["etl_run_step_seconds", name, "test", name] == 0.5


# notifications


@pytest.fixture
def failing(workspace):
    """A spec that fails and one with a bad row."""
    made = workspace()
    toy(made, [*rows(2), BAD])
    toy(made, [], "gone")
    made.variables["SOURCES__GONE__ROWS_FILE"] = "missing <b>.json"
    return made


def test_one_message_per_command(failing):
    with serving(lambda asked: reply()) as server:
        failing.write(".dlt/test.secrets.toml", f'[notify]\nwebhook_url = "{server.url}/hook?key=s3cret"\n')
        result = failing.etl("run", "gone", "toy", "--env", "test", NOTIFY__SLACK_URL=f"{server.url}/slack")
    assert result.code == 1
    assert "notified" not in result.err
    hook, slack = server.asked
    assert (hook.method, hook.path, slack.path) == ("POST", "/hook?key=s3cret", "/slack")
    body = json.loads(hook.body)
    assert {key: body[key] for key in ("schema", "environment", "status", "exit_code")} == {
        "schema": "etl.notice.v1", "environment": "test", "status": "failed", "exit_code": 1,
    }  # fmt: skip
    gone, partial = body["runs"]
    assert (gone["spec"], gone["status"], gone["exit_code"]) == ("gone", "failed", 1)
    assert gone["retry_command"] == "etl run gone --env test"
    assert "missing <b>.json" in gone["message"]
    assert (partial["status"], partial["message"]) == ("partial", "1 row in quarantine")
    assert partial["counts"] == {"rows_loaded": 3, "rows_rejected": 1, "items_failed": 0}
    text = json.loads(slack.body)["text"]
    assert text.startswith("*etl test*: failed\n• *gone*: failed (exit 1): ")
    assert "missing &lt;b&gt;.json" in text
    assert "`etl run gone --env test`" in text


@pytest.mark.parametrize(
    ("on", "told"), [("", 1), ("[test.notify]\non = ['failed']", 0), ("[test.notify]\non = ['partial', 'ok']", 1)]
)
def test_only_what_the_environment_wants_told(engine, on, told):
    destinations = engine.root / "destinations.toml"
    destinations.write_text(f"{destinations.read_text()}{on}\n")
    with serving(lambda asked: reply()) as server:
        assert engine.etl("run", "toy", "--env", "test", NOTIFY__WEBHOOK_URL=server.url).code == 3
    assert len(server.asked) == told


def test_a_good_run_tells_nobody(engine):
    toy(engine, rows(1))
    with serving(lambda asked: reply()) as server:
        assert engine.etl("run", "toy", "--env", "test", NOTIFY__WEBHOOK_URL=server.url).code == 0
    assert server.asked == []


@pytest.mark.parametrize(
    ("checks", "told", "advice"),
    [
        ("", "ok (exit 0): 2 rows into toy in ", None),
        (
            "checks: [{row_count: things, min: 2}]",
            "checks_failed (exit 4): 1 check failed: ",
            "etl check toy --env test",
        ),
    ],
)
def test_what_a_run_is_said_to_be_is_said_once_with_what_helps(engine, checks, told, advice):
    toy(engine, rows(1))
    spec = engine.root / "specs/toy.yaml"
    spec.write_text(f"{spec.read_text()}{checks}\n")
    engine.write("destinations.toml", f"{DESTINATIONS}[test.notify]\non = ['ok', 'checks_failed']\n")
    with serving(lambda asked: reply()) as server:
        engine.etl("run", "toy", "--env", "test", NOTIFY__WEBHOOK_URL=f"{server.url}/w", NOTIFY__SLACK_URL=server.url)
    hook, slack = (json.loads(asked.body) for asked in server.asked)
    assert hook["runs"][0]["retry_command"] == advice
    assert slack["text"].splitlines()[1].startswith(f"• *toy*: {told}")
    assert slack["text"].count("`") == (2 if advice else 0)


def test_a_wrong_spec_is_told_and_a_wrong_command_is_not(engine):
    engine.write("specs/wrong.yaml", "name: wrong\nabout: x\npyton: {}\n")
    with serving(lambda asked: reply()) as server:
        assert engine.etl("run", "toi", "--env", "test", NOTIFY__WEBHOOK_URL=server.url).code == 2
        assert engine.etl("run", "--all", "--dry-run", "--env", "test", NOTIFY__WEBHOOK_URL=server.url).code == 2
        assert engine.etl("run", "--all", "--env", "test", NOTIFY__WEBHOOK_URL=server.url).code == 2
    [asked] = server.asked
    assert "specs/wrong.yaml:3:1: pyton: unknown key" in json.loads(asked.body)["message"]


NO_URL = "is no URL that can be asked, or leads to one"
NEVER = "no answer in 1 s"
SLOW = [head(200, length=10), 9.0]
HOOKS = {
    "a failure, then well": (in_turn(reply(503), reply()), 2, ""),
    "busy, then well": (in_turn(reply(429), reply()), 2, ""),
    "broken, then well": (in_turn([RESET], reply()), 2, ""),
    "fails": (in_turn(reply(500)), 2, "answered 500"),
    "unknown": (in_turn(reply(404)), 1, "answered 404"),
    "elsewhere": (in_turn(reply(302, headers={"Location": "http://127.0.0.1:9/"})), 1, "answered 302"),
    "nowhere": (in_turn(reply(302, headers={"Location": "http://["})), 1, NO_URL),
    "silent": (in_turn([9.0]), 2, NEVER),
    "drips": (in_turn([*[b"H", 0.05] * 400]), 2, NEVER),
    "body never ends": (in_turn(SLOW), 1, ""),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_second_try_and_a_deadline(hook, monkeypatch):
    answer, asked, said = HOOKS[hook]
    monkeypatch.setattr(notify, "PAUSE_SECONDS", 0)
    if said == NEVER:
        monkeypatch.setattr(notify, "ANSWER_SECONDS", 0.6)
    with serving(answer) as server:
        assert notify._post(f"{server.url}/key", {}) == (said or None)
    assert len(server.asked) == asked


def test_a_hook_that_fails_changes_no_exit_code_and_is_not_shown(engine, monkeypatch):
    monkeypatch.setattr(notify, "PAUSE_SECONDS", 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refusing = f"http://127.0.0.1:{listener.getsockname()[1]}/s3cret"
    result = engine.etl(
        "run", "toy", "--env", "test", NOTIFY__WEBHOOK_URL=refusing, NOTIFY__SLACK_URL="s3cret://nowhere"
    )  # fmt: skip
    assert result.code == 3
    assert "s3cret" not in result.err + result.out
    assert result.err.splitlines() == [
        "WARNING: notify.webhook_url of Environment Variables: cannot be reached; nobody was notified there",
        "WARNING: notify.slack_url of Environment Variables: is no URL that can be asked, or leads to one; "
        "nobody was notified there",
    ]


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
def test_a_hook_of_an_impossible_host_changes_no_exit_code(engine, host):
    with serving(lambda asked: reply()) as server:
        addresses = {"NOTIFY__WEBHOOK_URL": f"http://{host}/s3cret", "NOTIFY__SLACK_URL": server.url}
        result = engine.etl("run", "toy", "--env", "test", **addresses)
    assert (result.code, len(server.asked), NO_URL in result.err, "s3cret" in result.err) == (3, 1, True, False), result


def test_somebody_is_told_though_nobody_reads_the_output(engine):
    with serving(lambda asked: reply()) as server:
        with engine.spawn("run", "toy", "--env", "test", NOTIFY__WEBHOOK_URL=server.url) as process:
            process.stdout.close()
            process.stderr.read()
        assert [json.loads(asked.body)["status"] for asked in server.asked] == ["partial"]


def test_a_signal_between_two_runs_keeps_what_the_first_has_to_tell(failing):
    with serving(lambda asked: reply()) as server:
        failing.variables["NOTIFY__WEBHOOK_URL"] = server.url
        between = At("pipelines.report:Report.lines")
        done = killed.start(failing, "run", "gone", "toy", "--env", "test", moment=between, act=signal.SIGTERM).ended()
    assert (done.code, [json.loads(asked.body)["status"] for asked in server.asked]) == (143, ["failed"]), done


def test_a_secret_that_is_empty_is_none(engine):
    assert engine.etl("run", "toy", "--env", "test", NOTIFY__WEBHOOK_URL="").err == ""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("on = ['failure']", "test.notify.on: expected a list of: ok, failed, partial, checks_failed, try_later, "),
        ("on = 'failed'", "test.notify.on: expected a list of: "),
        ("one = []", "test.notify.one: unknown key (did you mean 'on'?); it has: on"),
        ("slack_url = 'https://hooks.slack.example/x'", "test.notify.slack_url: looks like a secret; move it to "),
    ],
)
def test_what_cannot_stand_under_notify(engine, lines, said):
    destinations = engine.root / "destinations.toml"
    destinations.write_text(f"{destinations.read_text()}[test.notify]\n{lines}\n")
    result = engine.etl("run", "toy", "--env", "test")
    assert result.code == 2
    assert said in result.err


# checks

CHECKS = """
checks:
  - {unique: things.id}
  - {not_null: things.amount, name: whole}
  - {range: things.amount, max: 1, severity: warn, name: small}
"""


def test_checks_that_failed_are_told_everywhere(engine):
    toy(engine, rows(3))
    spec = engine.root / "specs/toy.yaml"
    spec.write_text(spec.read_text() + CHECKS)
    engine.write("toy.json", json.dumps([{**row, "amount": {1: 0.5, 2: None, 3: 1.5}[row["id"]]} for row in rows(3)]))
    with serving(lambda asked: reply()) as server:
        given = {"NOTIFY__WEBHOOK_URL": server.url, "GITHUB_ACTIONS": "true", "ETL_METRICS_FILE": "etl.prom"}
        result = engine.etl("run", "toy", "--env", "test", **given)
    see, mend = "see them: etl check toy --env test --select", "mend the rows where they come from, or the check"
    assert (result.code, [line for line in result.err.splitlines() if line.startswith("::")]) == (4, [
        f"::error title=etl run toy::FAIL    toy.whole: 1 row; {see} whole --rows 20; {mend}",
        f"::warning title=etl run toy::WARN    toy.small: 1 row; {see} small --rows 20; {mend}",
    ])  # fmt: skip
    [asked] = server.asked
    assert [run["message"] for run in json.loads(asked.body)["runs"]] == ["1 check failed: whole"]
    told = parsed((engine.root / "etl.prom").read_text())
    assert [told["etl_run_checks", "toy", "test", each] for each in ("ok", "fail", "warn")] == [1, 1, 1]
    shown = engine.etl("status", "--env", "test").out.splitlines()
    assert (shown[0].split()[2:4], shown[1].endswith("1 check failed: whole")) == (["mode", "status"], True)


# GitHub


def test_annotations_and_a_summary_under_github(failing, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    result = failing.etl(
        "run", "gone", "toy", "--env", "test", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary)
    )  # fmt: skip
    lines = [line for line in result.err.splitlines() if line.startswith("::")]
    assert len(lines) == 2
    assert lines[0].startswith("::error title=etl run gone::gone: ")
    see = "etl quarantine list toy --env test"
    assert lines[1] == f"::warning title=etl run toy::toy.things: 1 row in quarantine; see: {see}"
    title, header, _, gone, partial, end = summary.read_text().split("\n", 5)
    assert title == "# before"
    assert header.startswith("| spec | status | exit |")
    assert gone.startswith("| gone | failed | 1 | 0 | 0 | 0 | ")
    assert "missing &lt;b&gt;.json" in gone
    assert partial.startswith("| toy | partial | 3 | 3 | 1 | 0 | ")
    assert partial.count("|") == header.count("|") == gone.count("|")
    assert end == "\n"


def test_nothing_of_it_elsewhere(failing, tmp_path):
    file = tmp_path / "summary.md"
    result = failing.etl("run", "toy", "--env", "test", GITHUB_ACTIONS="", GITHUB_STEP_SUMMARY=str(file))
    assert "::" not in result.err
    assert not file.exists()


@pytest.mark.parametrize(
    ("code", "level"),
    [(Exit.FAILED, "error"), (Exit.TEMPORARY, "warning"), (Exit.LOCKED, "warning"), (Exit.SIGN_IN, "error")],
)
def test_what_the_next_run_mends_is_a_warning(code, level):
    report = Report("1", "toy", "test", "incr", "toy", exit=code, error="toy: 100%; try")
    assert list(github.commands(report)) == [f"::{level} title=etl run toy::toy: 100%25; try"]


def test_failed_items_are_one_annotation():
    items = [{"resource": "games", "item": f"player {n}", "reason": "gone"} for n in range(3)]
    report = Report("1", "toy", "test", "incr", "toy", exit=Exit.PARTIAL, failed_items=items)
    told = "toy.games: player 0: gone, and 2 more; run again for the rest"
    assert list(github.commands(report)) == [f"::warning title=etl run toy::{told}"]


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        ({}, "::error::50%25%0D%0A: a, b"),
        ({"title": "a: b, c%\n"}, "::error title=a%3A b%2C c%25%0A::50%25%0D%0A: a, b"),
    ],
)
def test_what_a_workflow_command_escapes(properties, line):
    assert annotation("error", "50%\r\n: a, b", **properties) == line


def test_a_summary_cell_holds_no_markup():
    report = Report("1", "toy", "test", "incr", "toy", exit=Exit.FAILED, error="a | b <script> *x* `y` @all &")
    row = github.table([report]).splitlines()[2]
    assert row.endswith(" | a &#124; b &lt;script&gt; &#42;x&#42; &#96;y&#96; &#64;all &amp; |")
