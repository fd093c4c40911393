"""Settings under familiar names, and a `.env`: what they set, what outranks them, and that nobody prints them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import AwsCredentials
from dlt.common.storages.configuration import FilesystemConfiguration

from pipelines import configuration, environment
from pipelines.errors import SettingError
from pipelines.familiar import plain_url
from pipelines.postgres import Configuration
from tests.toys import rows, toy
from tests.workspace import Workspace

TOML = """\
[pg.warehouse]
destination_type = "postgres"
[pg.warehouse.credentials]
host = "of-toml"
database = "of_toml"
username = "of_toml"
[pg.audio]
destination_type = "filesystem"
bucket_url = "s3://of-toml"
[pg.audio.credentials]
endpoint_url = "https://s3.eu-central-003.backblazeb2.com"
region_name = "eu-central-003"
[local.warehouse]
destination_type = "duckdb"
[local.audio]
destination_type = "filesystem"
bucket_url = "lake/audio"
"""
URL = "postgresql+asyncpg://ann:p%40ss%3Bword@db.example.org:5433/callcenter?ssl=require"
OWN = "DESTINATION__WAREHOUSE__CREDENTIALS"
B2 = {
    "BACKBLAZE_B2_S3_ENDPOINT": "s3.us-west-004.backblazeb2.com",
    "BACKBLAZE_B2_KEY_ID": "004key",
    "BACKBLAZE_B2_APPLICATION_KEY": "K004secret",
    "BACKBLAZE_B2_BUCKET": "campaign-analysis",
}
AWS = {
    "AWS_ENDPOINT_URL": "https://aws.example.test",
    "AWS_REGION": "aws-1",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "aws secret",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace's folder without a variable that this test does not set."""
    for name in (*B2, *AWS, "DATABASE_URL", "B2_BUCKET_NAME", "BACKBLAZE_B2_REGION"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "destinations.toml").write_text(TOML)
    return tmp_path


def activated(home: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], env: str = "pg") -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    configuration.activate(environment.load(home, env))


def warehouse() -> tuple[Any, ...]:
    wanted = Configuration()._bind_dataset_name(dataset_name="any")
    found = resolve_configuration(wanted, sections=("destination", "warehouse")).credentials
    return found.username, found.password, found.host, found.port, found.database, found.query


def audio() -> tuple[Any, ...]:
    config = resolve_configuration(FilesystemConfiguration(), sections=("destination", "audio"))
    found: Any = config.credentials
    assert isinstance(found, AwsCredentials)
    return (
        config.bucket_url,
        found.endpoint_url,
        found.region_name,
        found.aws_access_key_id,
        found.aws_secret_access_key,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://a:b@h/d", "postgresql://a:b@h/d"),
        ("postgresql+psycopg2://a:b@h/d", "postgresql://a:b@h/d"),
        ("postgresql+asyncpg://a:b@h/d?x=1&ssl=require", "postgresql://a:b@h/d?x=1&sslmode=require"),
        ("'postgresql://a:b@h/d?ssl=other' ", "postgresql://a:b@h/d?ssl=other"),
        ("mysql+pymysql://a:b@h/d", "mysql+pymysql://a:b@h/d"),
    ],
)
def test_an_address_becomes_one_of_libpq(given: str, expected: str) -> None:
    assert plain_url(given) == expected


WHOLE = ("ann", "p@ss;word", "db.example.org", 5433, "callcenter", {"sslmode": "require"})
TOMLS = ("of_toml", "x", "of-toml", 5432, "of_toml", None)


@pytest.mark.parametrize(
    ("variables", "dot_env", "expected"),
    [
        ({"DATABASE_URL": URL}, "", WHOLE),
        ({}, f"DATABASE_URL={URL}", WHOLE),
        ({}, f'\ufeffexport DATABASE_URL="{URL}"  # the tunnel\n', WHOLE),
        ({"DATABASE_URL": URL}, "DATABASE_URL=postgresql://of:file@else/where", WHOLE),
        ({"DATABASE_URL": "postgresql://ann@h/d"}, "", None),
        ({f"{OWN}": URL}, "", WHOLE),
        ({"DATABASE_URL": URL, f"{OWN}__PASSWORD": "x"}, "", TOMLS),
        ({"DATABASE_URL": URL}, f"{OWN}__PASSWORD=x", TOMLS),
        ({f"{OWN}__PASSWORD": "x"}, f"{OWN}__PASSWORD=of the file", TOMLS),
        ({"DATABASE_URL": "postgresql://no:one@h/d", OWN: URL}, "", WHOLE),
    ],
)
def test_where_the_warehouse_is(home, monkeypatch, variables, dot_env, expected) -> None:
    if dot_env:
        (home / ".env").write_text(dot_env, encoding="utf-8")
    activated(home, monkeypatch, variables)
    if expected is None:
        with pytest.raises(Exception, match="password"):
            warehouse()
    else:
        assert warehouse() == expected


@pytest.mark.parametrize(
    ("env", "variables", "expected"),
    [
        ("bq", {}, ("of-toml", "destinations.toml")),
        ("bq", {"GCP_PROJECT_ID": "mine"}, ("mine", "GCP_PROJECT_ID")),
        ("bq", {"GCP_PROJECT_ID": "mine", "DESTINATION__WAREHOUSE__PROJECT_ID": "own"}, ("own", None)),
        ("pg", {"GCP_PROJECT_ID": "mine"}, None),
    ],
)
def test_in_which_project_a_bigquery_is(home, monkeypatch, env, variables, expected) -> None:
    (home / "destinations.toml").write_text(
        TOML + '[bq.warehouse]\ndestination_type = "bigquery"\nproject_id = "of-toml"\n'
    )
    activated(home, monkeypatch, variables, env)
    found = configuration.setting("project_id", ("destination", "warehouse"), fewest=2)
    assert (found and (found[0], found[1] if expected[1] else None)) == expected
    of_the_account = configuration.setting("project_id", ("destination", "warehouse", "credentials"), fewest=3)
    assert of_the_account == (("mine", "GCP_PROJECT_ID") if env == "bq" and variables else None)


KEYS = ("004key", "K004secret")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (B2, ("s3://campaign-analysis", "https://s3.us-west-004.backblazeb2.com", "us-west-004", *KEYS)),
        (
            {**B2, **AWS, "BACKBLAZE_B2_REGION": "r"},
            ("s3://campaign-analysis", "https://s3.us-west-004.backblazeb2.com", "r", *KEYS),
        ),
        (
            {**AWS, "B2_BUCKET_NAME": "named"},
            ("s3://named", "https://s3.eu-central-003.backblazeb2.com", "eu-central-003", "AKIA", "aws secret"),
        ),
        (
            {**B2, "DESTINATION__AUDIO__BUCKET_URL": "s3://ours", "DESTINATION__AUDIO__CREDENTIALS__REGION_NAME": "o"},
            ("s3://ours", "https://s3.us-west-004.backblazeb2.com", "o", *KEYS),
        ),
    ],
)
def test_where_audio_is_kept(home, monkeypatch, variables, expected) -> None:
    activated(home, monkeypatch, variables)
    assert audio() == expected


def test_aws_names_fill_what_the_environment_leaves_open(home, monkeypatch) -> None:
    text = (home / "destinations.toml").read_text()
    (home / "destinations.toml").write_text(text.replace("endpoint_url", "s3_url_style").replace("region_", "profile_"))
    monkeypatch.setenv("DESTINATION__AUDIO__CREDENTIALS__PROFILE_NAME", "")
    activated(home, monkeypatch, AWS)
    assert audio() == ("s3://of-toml", "https://aws.example.test", "aws-1", "AKIA", "aws secret")


def test_a_local_environment_stays_local(home, monkeypatch) -> None:
    activated(home, monkeypatch, {**B2, "DATABASE_URL": URL}, env="local")
    config = resolve_configuration(FilesystemConfiguration(), sections=("destination", "audio"))
    assert config.bucket_url == (home / "lake/audio").as_uri()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DATABASE_URL": "hunter2-planted"}, "DATABASE_URL: is no address of a Postgres database; write postgresql"),
        ({"DATABASE_URL": "postgresql://a:hunter2-planted@h:x/d"}, "DATABASE_URL: is no address of a Postgres"),
        ({"DATABASE_URL": "postgresql://a:hunter2-planted@h"}, "DATABASE_URL: is no address of a Postgres"),
        ({"DATABASE_URL": "mysql://a:hunter2-planted@h/d"}, "DATABASE_URL: is no address of a Postgres"),
        ({"BACKBLAZE_B2_KEY_ID": "hunter2-planted"}, "BACKBLAZE_B2_KEY_ID: is set without BACKBLAZE_B2_APPLICATION_K"),
        ({"BACKBLAZE_B2_APPLICATION_KEY": "hunter2-planted"}, "BACKBLAZE_B2_APPLICATION_KEY: is set without BACKBLAZ"),
    ],
)
def test_what_cannot_be_meant_is_told_without_the_value(home, monkeypatch, variables, said) -> None:
    with pytest.raises(SettingError) as told:
        activated(home, monkeypatch, variables)
    assert str(told.value).startswith(said)
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# fine\n\nA=1\nhunter2-planted\n", ".env:4: is not NAME=value; mend that line"),
        ("1A=hunter2-planted", ".env:1: is not NAME=value; mend that line"),
        ('A="hunter2-planted', ".env:1: its quote does not end, or something follows it; mend that line"),
        ("A='hunter2' planted", ".env.local:1: its quote does not end, or something follows it; mend that line"),
    ],
)
def test_a_file_that_is_no_env_is_told_by_its_line(workspace, text, said) -> None:
    made = workspace()
    toy(made, rows(1))
    made.write(said.partition(":")[0], text)
    result = made.etl("run", "toy", "--env", "test")
    assert (result.code, "hunter2" in result.err) == (2, False)
    assert said in result.err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=b", "b"),
        ("  export A = b c  ", "b c"),
        ("A=b#c # d", "b#c"),
        ("A=", ""),
        ("A= # nothing", ""),
        ("A='b # $c \\n'", "b # $c \\n"),
        ('A="b \\"c\\" # d" # e', 'b "c" # d'),
        ("A=x\nA=y", "y"),
    ],
)
def test_lines_of_an_env(tmp_path, line, expected) -> None:
    (tmp_path / ".env.local").write_text(line)
    (tmp_path / ".env").write_text("A=what is local counts\nB=1")
    assert configuration.dot_env.variables(tmp_path) == {"A": expected, "B": "1"}


def test_a_run_into_the_database_of_an_env(workspace, postgres_url) -> None:
    made: Workspace = workspace()
    made.write("destinations.toml", '[pg.warehouse]\ndestination_type = "postgres"\n')
    file = toy(made, rows(3))
    made.variables.clear()
    url = postgres_url.replace("postgresql://", "postgresql+psycopg2://")
    made.write(".env", f"DATABASE_URL={url}\nSOURCES__TOY__ROWS_FILE='{file}'\n")
    run = made.etl("run", "toy", "--env", "pg")
    doctor = made.etl("doctor", "--env", "pg")
    assert run.code == 0, run.err
    assert "secret destination.warehouse.credentials.password: found in DATABASE_URL" in doctor.out
    assert "setting sources.toy.rows_file: found in .env" in doctor.out
    for said in (run, doctor):
        assert url not in said.out + said.err
    import psycopg2

    with psycopg2.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM toy.things")
        assert cursor.fetchone() == (3,)
