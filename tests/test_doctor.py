"""`etl doctor`: what is well, what is not and what to do, and never a secret."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines import doctor
from tests.passwords import guarded_role
from tests.toys import rows, toy
from tests.workspace import DESTINATIONS, REPOSITORY, Workspace

PLANTED = "hunter2-planted"
PASSWORD = "DESTINATION__WAREHOUSE__CREDENTIALS__PASSWORD"
PORT = "DESTINATION__WAREHOUSE__CREDENTIALS__PORT"
NOBODY = {"NO_GCE_CHECK": "true", "AWS_EC2_METADATA_DISABLED": "true"}  # this machine is no one's in a cloud
NEEDY = '''\
"""A source that needs settings."""

import dlt


@dlt.source(name="needy", section="needy")
def needy(account: str = dlt.config.value, token: str = dlt.secrets.value):
    raise AssertionError("doctor must not run a source")
'''


@pytest.fixture
def engine(workspace):
    """A workspace with a toy."""
    made = workspace()
    toy(made, rows(2))
    return made


def look(workspace: Workspace, env: str = "test", **variables: str) -> tuple[int, dict[str, tuple[bool, str]]]:
    """The exit code and each finding by what was looked at."""
    result = workspace.etl("doctor", "--env", env, "--output", "json", **variables)
    assert result.err == ""
    return result.code, {finding["what"]: (finding["ok"], finding["text"]) for finding in result.json}


def ill(workspace: Workspace, env: str = "test", **variables: str) -> dict[str, str]:
    """What is not well, and what to do about it."""
    code, findings = look(workspace, env, **variables)
    assert code == 1
    return {what: text for what, (ok, text) in findings.items() if not ok}


def test_a_fresh_workspace_is_well(engine):
    code, findings = look(engine)
    assert (code, [what for what, (ok, _) in findings.items() if not ok]) == (0, [])
    assert findings["warehouse (duckdb)"] == (True, "answers, and its folder can be written")
    assert findings[f"landing ({engine.root / 'landing'})"] == (True, "a file can be written and deleted")
    assert findings["clock"] == (True, "agrees with this machine")
    assert findings["setting sources.toy.rows_file"] == (True, "found in Environment Variables")
    assert {"version of python", "version of dlt", "version of duckdb", "version of sqlglot"} <= set(findings)
    assert not (engine.root / "warehouse.duckdb").exists()
    assert list((engine.root / "landing").iterdir()) == []


def test_text_is_one_line_per_finding(engine):
    _, findings = look(engine)
    lines = engine.etl("doctor", "--env", "test").out.splitlines()
    assert lines == [f"{'OK  ' if ok else 'FAIL'}  {what}: {text}" for what, (ok, text) in findings.items()]


def test_a_warehouse_with_data_is_only_read(engine):
    engine.etl("run", "toy", "--env", "test")
    before = (engine.root / "warehouse.duckdb").read_bytes()
    assert look(engine)[0] == 0
    assert (engine.root / "warehouse.duckdb").read_bytes() == before


@pytest.mark.parametrize("env", ["dev", "ci", "demo"])
def test_the_environments_without_an_account_are_well(workspace, tmp_path, monkeypatch, env):
    made = workspace("github")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shutil.copy(REPOSITORY / "destinations.toml", made.root)
    assert look(made, env)[0] == 0


def test_a_file_where_a_bucket_must_be(engine):
    engine.write("landing", "in the way")
    ((what, text),) = ill(engine).items()
    assert what.startswith("landing (/")
    assert "move what is in the way" in text


def test_the_bucket_that_is_tried_is_the_one_a_run_would_use(engine, tmp_path):
    other = (tmp_path / "other").as_uri()
    _, findings = look(engine, DESTINATION__LANDING__BUCKET_URL=other)
    assert findings[f"landing ({other})"][0]
    assert (tmp_path / "other").is_dir()


def test_a_warehouse_that_is_no_database(engine):
    engine.write("warehouse.duckdb", "no database" * 1000)
    assert ill(engine) == {
        "warehouse (duckdb)": "the warehouse file is not a DuckDB database; move it away or name another file"
    }


def test_a_warehouse_whose_folder_cannot_be(engine):
    engine.write("destinations.toml", DESTINATIONS.replace('"warehouse.duckdb"', '"toy.json/warehouse.duckdb"'))
    assert "move what is in the way" in ill(engine)["warehouse (duckdb)"]


def test_settings_and_secrets_that_are_missing(engine):
    engine.write("specs/needy.yaml", "name: needy\nabout: Needs settings.\npython: {}\n")
    engine.write("sources/needy.py", NEEDY)
    assert ill(engine) == {
        "setting sources.needy.account": "missing; set SOURCES__NEEDY__ACCOUNT",
        "secret sources.needy.token": "missing; set SOURCES__NEEDY__TOKEN",
    }
    engine.write(".dlt/secrets.toml", f'[sources.needy]\ntoken = "{PLANTED}"\n')
    result = engine.etl("doctor", "--env", "test", SOURCES__NEEDY__ACCOUNT="mine-and-planted")
    assert result.code == 0
    assert "OK    secret sources.needy.token: found in .dlt/secrets.toml" in result.out
    assert "planted" not in result.out + result.err


def test_a_spec_that_is_wrong_is_a_finding(engine):
    engine.write("specs/wrong.yaml", "name: wrong\nabout: x\npython: {}\nresorces: {}\n")
    assert "specs/wrong.yaml:4:1: resorces: " in ill(engine)["wrong"]


def test_a_source_that_cannot_be_imported_is_a_finding(engine):
    engine.write("specs/wrong.yaml", "name: wrong\nabout: x\npython: {}\n")
    engine.write("sources/wrong.py", "import nothing_of_this_name")
    assert "ModuleNotFoundError" in ill(engine)["wrong"]


@pytest.mark.parametrize(
    ("version", "said"),
    [("0.9", "0.9 is outside <2,>=1.5; run make install"), ("2.0.0", "2.0.0 is outside"), (None, "is not installed; ")],
)
def test_a_version_out_of_range(engine, monkeypatch, version, said):
    real = importlib.metadata.version

    def installed(name: str) -> str:
        if name == "duckdb" and version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version if name == "duckdb" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", installed)
    assert ill(engine)["version of duckdb"].startswith(said)


def test_what_it_has_one_make_is_there():
    targets = re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(), flags=re.M)
    told = re.findall(r"run make (\w+)", Path(doctor.__file__).read_text())
    assert set(told) - {*targets} == set()
    assert told


def test_a_clock_that_is_wrong(engine, monkeypatch):
    monkeypatch.setattr(doctor, "_warehouse_time", lambda environment: datetime.now(UTC) - timedelta(hours=2))
    assert "s apart from warehouse (duckdb); set this machine's clock" in ill(engine)["clock"]


def test_postgres_answers(engine, postgres_url):
    engine.postgres(postgres_url)
    code, findings = look(engine, "pg")
    assert code == 0
    assert findings["warehouse (postgres)"] == (True, "answers")
    assert findings["clock"][0]
    assert findings["secret destination.warehouse.credentials.password"] == (True, "found in Environment Variables")
    assert findings["setting destination.warehouse.credentials.host"] == (True, "found in destinations.toml")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "1", "the destination is away: "),
        ("DATABASE", "nope", 'database "nope" does not exist; create it, or mend destinations.toml'),
    ],
)
def test_postgres_does_not_answer(engine, postgres_url, variable, value, said):
    engine.postgres(postgres_url)
    found = ill(engine, "pg", **{f"DESTINATION__WAREHOUSE__CREDENTIALS__{variable}": value})
    assert list(found) == ["warehouse (postgres)"]
    assert said in found["warehouse (postgres)"]


def test_a_postgres_password_is_never_shown(engine, postgres_url):
    engine.postgres(postgres_url)
    for variables in ({PASSWORD: PLANTED, PORT: "1"}, {PASSWORD: PLANTED, PORT: "planted"}):
        result = engine.etl("doctor", "--env", "pg", **variables)
        assert (result.code, "planted" in result.out + result.err) == (1, False)


def test_a_postgres_password_that_is_wrong(engine, postgres_server, postgres_url):
    engine.postgres(postgres_url)
    with guarded_role(postgres_server, postgres_url) as (name, password):
        user = {"DESTINATION__WAREHOUSE__CREDENTIALS__USERNAME": name}
        assert look(engine, "pg", **user, **{PASSWORD: password})[0] == 0
        found = ill(engine, "pg", **user, **{PASSWORD: PLANTED})
    assert found == {"warehouse (postgres)": f"the destination refuses the password; set {PASSWORD}"}


def test_a_postgres_password_that_is_missing(engine, postgres_url):
    engine.postgres(postgres_url)
    del engine.variables[PASSWORD]
    found = ill(engine, "pg")
    assert found["secret destination.warehouse.credentials.password"] == f"missing; set {PASSWORD}"
    assert f"set {PASSWORD}" in found["warehouse (postgres)"]


def test_a_server_that_never_answers_is_given_up(engine, monkeypatch):
    monkeypatch.setattr(doctor, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        engine.postgres(f"postgresql://etl:x@127.0.0.1:{mute.getsockname()[1]}/etl")
        assert "no answer in" in ill(engine, "pg")["warehouse (postgres)"]


def test_production_without_settings_says_what_is_missing(engine, tmp_path, monkeypatch):
    """BigQuery, GCS and S3 with nothing configured: every line fails at once, none waits for a network."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    shutil.copy(REPOSITORY / "destinations.toml", engine.root)
    found = ill(engine, "prd", HOME=str(tmp_path), **NOBODY)
    named = ("warehouse (bigquery)", "landing (gs://example-landing-prd)", "audio (s3://example-audio-prd)")
    assert set(found) >= set(named)
    for name, secret in (("warehouse", "private_key"), ("landing", "private_key"), ("audio", "aws_secret_access_key")):
        path = f"destination.{name}.credentials.{secret}"
        assert found[f"secret {path}"] == f"missing; set {path.upper().replace('.', '__')}"
    assert "there are no Google credentials; run gcloud auth" in found[named[0]]
    assert all(len(text.splitlines()) == 1 for text in found.values())
