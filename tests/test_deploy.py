"""What runs the specs on their schedules: a workflow, a crontab, a script of gcloud; each is run as far as it goes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.signed_in import choose

SPEC = "name: {name}\nabout: x\n{schedule}rest:\n  client: {{base_url: 'http://x/'{auth}}}\n  resources: [things]\n"
SOURCE = '''\
"""A source for tests."""

import dlt


@dlt.source
def chess(contact: str = dlt.config.value, password: str = dlt.secrets.value, players: list[str] | None = None):
    yield dlt.resource([{"id": 1}], name="things")
'''
DESTINATIONS = """
[prd.warehouse]
destination_type = "postgres"
[prd.warehouse.credentials]
host = "db.example.org"
database = "etl"
username = "etl"
"""
PASSWORD = "DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD"
NEEDED = {
    "chess": [PASSWORD, "SOURCES__CHESS__PASSWORD", "SOURCES__CHESS__CONTACT"],
    "other": [PASSWORD],
    "tokens": [PASSWORD, "SOURCES__TOKENS__CREDENTIALS__TOKEN"],
}
AGAIN = "::error::chess: 3 runs in a row ended so, or the destination is away; see: etl status chess --env prd\n"
FILE = ".github/workflows/etl.yaml"


@pytest.fixture
def engine(workspace):
    """Three specs with a schedule, two of them the same one, and one without."""
    made = workspace()
    destinations = made.root / "destinations.toml"
    destinations.write_text(destinations.read_text() + DESTINATIONS)
    made.write("specs/chess.yaml", 'name: chess\nabout: x\nschedule: "7 5 * * MON"\npython: {players: [erik]}\n')
    made.write("sources/chess.py", SOURCE)
    rest = {"other": ('schedule: "7 5 * * MON"\n', ""), "tokens": ('schedule: "*/5 * * * *"\n', ", auth: bearer")}
    for name, (schedule, auth) in {**rest, "by_hand": ("", "")}.items():
        made.write(f"specs/{name}.yaml", SPEC.format(name=name, schedule=schedule, auth=auth))
    return made


def workflow(engine, *words: str) -> dict:
    return yaml.safe_load(engine.etl("deploy", "github-actions", *words).out)


def test_every_schedule_is_in_the_workflow(engine):
    content = workflow(engine)
    assert content["on"]["schedule"] == [{"cron": "*/5 * * * *"}, {"cron": "7 5 * * MON"}]
    assert content["on"]["workflow_dispatch"]["inputs"]["spec"]["options"] == ["all specs", "chess", "other", "tokens"]
    assert content["permissions"] == {"contents": "read"}
    assert list(content["jobs"]) == ["chess", "other", "tokens"]
    for name, job in content["jobs"].items():
        cron = "*/5 * * * *" if name == "tokens" else "7 5 * * MON"
        assert job["if"].startswith(f"github.event.schedule == '{cron}' || ")
        assert job["concurrency"] == {"group": f"etl-prd-{name}", "cancel-in-progress": False}
        assert job["timeout-minutes"] == 60
        assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
    assert workflow(engine, "--timeout-minutes", "90")["jobs"]["chess"]["timeout-minutes"] == 90


def test_a_spec_may_be_named_all(engine):
    engine.write("specs/all.yaml", SPEC.format(name="all", schedule='schedule: "7 5 * * MON"\n', auth=""))
    content = workflow(engine)
    options = content["on"]["workflow_dispatch"]["inputs"]["spec"]["options"]
    assert len(set(options)) == len(options) == 5
    assert "inputs.spec == 'all' " not in content["jobs"]["chess"]["if"] + " "


@pytest.mark.parametrize("keeps", [True, False])
def test_a_run_through_raw_files_needs_their_bucket(engine, keeps):
    landing = '[prd.landing]\ndestination_type = "filesystem"\nbucket_url = "gs://example"\n'
    destinations = engine.root / "destinations.toml"
    destinations.write_text(f"{destinations.read_text()}[prd]\nkeep_raw = {str(keeps).lower()}\n{landing}")
    [named] = [step["env"] for step in workflow(engine)["jobs"]["chess"]["steps"] if "env" in step]
    assert ("DESTINATION__LANDING__CREDENTIALS__PRIVATE_KEY" in named) is keeps


@pytest.mark.parametrize("here", ["", "an environment that has them, too"])
def test_settings_are_named_and_never_told(engine, here):
    """The same on every machine: what stands in git is not asked for, whatever a variable or a secret says here."""
    values = {"SOURCES__CHESS__CONTACT": "me@s3cret", PASSWORD: "s3cret"} if here else {}
    engine.write(".dlt/secrets.toml", "[sources.tokens.credentials]\ntoken = 's3cret'\n" if here else "")
    result = engine.etl("deploy", "github-actions", **values)
    assert "s3cret" not in result.out
    for name, job in yaml.safe_load(result.out)["jobs"].items():
        [step] = [step for step in job["steps"] if "env" in step]
        given = {name: text for name, text in step["env"].items() if name != "ARGUMENTS"}
        assert list(given) == [*NEEDED[name][:2], "NOTIFY__WEBHOOK_URL", "NOTIFY__SLACK_URL", *NEEDED[name][2:]]
        for variable, text in given.items():
            assert text == f"${{{{ {'vars' if variable.endswith('CONTACT') else 'secrets'}.{variable} }}}}"
    engine.write(".dlt/config.toml", "[sources.chess]\ncontact = 'me@example.org'\n")
    assert "CONTACT" not in engine.etl("deploy", "github-actions", **values).out


def run_step(engine, tmp_path: Path, code: int, before: tuple[int, ...] = (), env: str = "prd", **variables: str):
    """The step that runs a spec, with an `etl` that ends so and remembers such runs."""
    [step] = [step for step in workflow(engine, "--env", env)["jobs"]["chess"]["steps"] if "env" in step]
    runs = str([{"exit_code": each} for each in (code, *before)]).replace("'", '"')
    program = tmp_path / "bin" / "etl"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\necho \"$@\" >> '{tmp_path}/asked'\n"
        f"case $1 in run) exit {code};; status) {'echo ' + repr(runs) if before else 'exit 5'};; esac\n"
    )
    program.chmod(0o755)
    given = dict.fromkeys(NEEDED["chess"], "x") | {"ARGUMENTS": ""} | variables
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    given["PATH"] = f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(command, env=given, cwd=tmp_path, text=True, capture_output=True, check=False)
    asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    return done.returncode, done.stdout, asked


@pytest.mark.parametrize(
    ("code", "before", "ends", "said"),
    [
        (0, (), 0, ""),
        (1, (), 1, ""),
        (3, (), 3, ""),
        (5, (5, 0, 5), 0, "::warning::chess: temporary; the next scheduled run tries again\n"),
        (
            5,
            (5, 5, 0),
            5,
            AGAIN,
        ),
        (
            5,
            (),
            5,
            AGAIN,
        ),
        (6, (), 6, "::error::chess: a person must sign in; on your machine: etl auth login chess --env prd\n"),
        (7, (), 7, ""),
    ],
)
def test_the_step_tells_exit_codes_apart(engine, tmp_path, code, before, ends, said):
    returned, out, asked = run_step(engine, tmp_path, code, before)
    assert (returned, out) == (ends, said)
    assert asked[0] == "run chess --env prd --wait 10m"


@pytest.mark.parametrize("env", ["my env", "it's", 'a "b"', "a$(touch made)`touch made`"])
def test_the_step_takes_the_name_of_an_environment_as_it_is(engine, tmp_path, env):
    destinations = engine.root / "destinations.toml"
    destinations.write_text(destinations.read_text() + DESTINATIONS.replace("[prd.", f"[{json.dumps(env)}."))
    code, _, asked = run_step(engine, tmp_path, 5, (0,), env)
    assert (code, asked) == (0, [f"run chess --env {env} --wait 10m", f"status chess --env {env} --output json"])
    assert not (tmp_path / "made").exists()


def test_the_step_takes_arguments_as_words(engine, tmp_path):
    given = "--since 2024-01-01 --with players=* ; $(touch made)"
    _, _, [asked] = run_step(engine, tmp_path, 0, ARGUMENTS=given)
    assert asked == f"run chess --env prd --wait 10m {given}"
    assert not (tmp_path / "made").exists()


def test_the_step_names_a_secret_that_is_empty(engine, tmp_path):
    code, out, asked = run_step(engine, tmp_path, 0, SOURCES__CHESS__PASSWORD="")
    assert (code, asked) == (2, [])
    assert out.startswith("::error::SOURCES__CHESS__PASSWORD is empty; ")


def test_written_checked_and_stale(engine):
    absent = engine.etl("deploy", "github-actions", "--check")
    again = "etl deploy github-actions --env prd --timeout-minutes 60 --write"
    assert (absent.code, absent.err) == (1, f"{FILE}: is not there; run {again}\n")
    assert engine.etl("deploy", "github-actions", "--write").out == f"{FILE}: 3 jobs\n"
    text = (engine.root / FILE).read_text()
    assert text == engine.etl("deploy", "github-actions").out
    assert engine.etl("deploy", "github-actions", "--check").code == 0
    spec = engine.root / "specs/other.yaml"
    spec.write_text(spec.read_text().replace("7 5", "8 5"))
    stale = engine.etl("deploy", "github-actions", "--check")
    assert (stale.code, stale.err) == (1, f"{FILE}: is stale; run {again}\n")
    assert again in text
    assert engine.etl("deploy", "github-actions", "--check", "--write").code == 2


@pytest.mark.parametrize("what", ["github-actions", "cloud-run"])
def test_tables_must_outlive_the_machine(engine, what):
    result = engine.etl("deploy", what, "--env", "test")
    assert result.code == 2
    assert result.err.startswith("--env test: its DuckDB file would be gone with the machine that runs the job; ")


SIGNED_IN = """

from sources.kit.oauth2 import OAuth2

SIGN_IN = OAuth2("chess", "https://x.example/authorize", "https://x.example/token")
"""
TOKENS = {"destination": "ENGINE__TOKENS_KEY", "environment": "SOURCES__CHESS__TOKEN"}


@pytest.mark.parametrize("place", ["file", *TOKENS])
def test_sign_ins_must_outlive_the_machine_and_are_given_what_reads_them(engine, place):
    (engine.root / "sources/chess.py").write_text(SOURCE + SIGNED_IN)
    choose(engine, "prd", place)
    result = engine.etl("deploy", "github-actions")
    if place == "file":
        said = "--env prd: the sign-ins of chess would be gone with the machine that runs the job; write tokens = "
        assert (result.code, result.err.startswith(said)) == (2, True), result
    else:
        assert (result.code, f"secrets.{TOKENS[place]} " in result.out) == (0, True), result
        assert "vars.SOURCES__CHESS__CLIENT_ID " in result.out
    assert engine.etl("deploy", "cron", "--env", "prd").code == 0


def test_each_account_of_a_spec_is_given_its_token(engine):
    source = SOURCE.replace("players: list[str] | None", "accounts: list[str] | None")
    (engine.root / "sources/chess.py").write_text(source + SIGNED_IN)
    spec = engine.root / "specs/chess.yaml"
    spec.write_text(spec.read_text().replace("players: [erik]", "accounts: [anna, ben]"))
    choose(engine, "prd", "environment")
    text = engine.etl("deploy", "github-actions", SOURCES__CHESS__CARL__TOKEN="of this machine alone").out
    names = set(re.findall(r"secrets\.(SOURCES__CHESS__\w*TOKEN) ", text))
    assert names == {"SOURCES__CHESS__ANNA__TOKEN", "SOURCES__CHESS__BEN__TOKEN"}


@pytest.mark.parametrize("what", ["github-actions", "cloud-run", "cron"])
def test_without_a_schedule_there_is_nothing_to_run(engine, what):
    for name in NEEDED:
        (engine.root / f"specs/{name}.yaml").unlink()
    result = engine.etl("deploy", what)
    assert (result.code, result.out) == (2, "")
    assert result.err == 'specs/: no spec has a schedule; give one, e.g. schedule: "17 * * * *"\n'


def test_a_crontab(engine, tmp_path):
    """cron gives a line to sh, with a bare % as its end; the program is one that says how it was called."""
    root = engine.root.rename(engine.root.with_name("100% a workspace"))
    engine.root = root
    lines = [line for line in engine.etl("deploy", "cron", "--env", "test").out.splitlines() if line[0] != "#"]
    assert [line.split(" ", 5)[:5] for line in lines] == [
        ["7", "5", "*", "*", "MON"], ["7", "5", "*", "*", "MON"], ["*/5", "*", "*", "*", "*"],
    ]  # fmt: skip
    assert not re.search(r"(?<!\\)%", lines[0])
    command = lines[0].split(" ", 5)[5].replace("\\%", "%")
    program = tmp_path / "etl"
    program.write_text('#!/bin/sh\necho "$@"; exit 5\n')
    program.chmod(0o755)
    theirs = shlex.quote(str(Path(sys.executable).with_name("etl")))
    assert f"&& {theirs} run" in command
    command = command.replace(theirs, shlex.quote(str(program)))
    done = subprocess.run(["sh", "-c", command], text=True, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == ("etl run chess ended with 5; see runs/chess.log\n", "")
    assert (root / "runs/chess.log").read_text() == "run chess --env test --wait 10m\n"


def test_a_script_of_cloud_run(engine, tmp_path):
    """Run with a `gcloud` that writes down what it is asked and knows one of the schedules already."""
    script = engine.etl("deploy", "cloud-run").out
    program = tmp_path / "gcloud"
    known = '[ "$3 $4" = "describe etl-chess" ] || [ "$3" != describe ]'
    program.write_text(f"#!/bin/sh\nprintf '%s|' \"$@\" >> '{tmp_path}/asked'; echo >> '{tmp_path}/asked'\n{known}\n")
    program.chmod(0o755)
    given = {"PROJECT": "p", "REGION": "r", "ACCOUNT": "a@p", "SOURCES__CHESS__CONTACT": "me, you"}
    variables = {**given, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=variables, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    asked = [line.rstrip("|").split("|") for line in (tmp_path / "asked").read_text().splitlines()]
    deployed = {each[3]: each for each in asked if each[:3] == ["run", "jobs", "deploy"]}
    assert list(deployed) == ["etl-chess", "etl-other", "etl-tokens"]
    assert "--args=run,chess,--env,prd,--wait,10m" in deployed["etl-chess"]
    secrets = f"--set-secrets={PASSWORD}={PASSWORD}:latest"
    assert f"{secrets},SOURCES__CHESS__PASSWORD=SOURCES__CHESS__PASSWORD:latest" in deployed["etl-chess"]
    assert "--set-env-vars=^;^SOURCES__CHESS__CONTACT=me, you" in deployed["etl-chess"]
    assert secrets in deployed["etl-other"]
    assert not any(word.startswith("--set-env-vars") for word in deployed["etl-other"])
    schedules = {each[4]: each[2] for each in asked if each[:2] == ["scheduler", "jobs"] and each[3] == "http"}
    assert schedules == {"etl-chess": "update", "etl-other": "create", "etl-tokens": "create"}
    assert sum("--schedule=7 5 * * MON" in each for each in asked) == 2
