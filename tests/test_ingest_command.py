"""`etl serve`: its settings, its devices, and what it refuses before it serves."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from threading import Thread
from uuid import UUID, uuid4

import pytest

from ingest_api.settings import Settings
from ingest_api.tokens import KEY_FILE, key_of
from pipelines.errors import SettingError
from tests.serving import ADMIN, POINT, REGISTER, serving
from tests.workspace import DESTINATIONS, REPOSITORY, Workspace

ROOT = Path("/a workspace")
LONG = "a-token-that-nobody-guesses"


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "a workspace")
    made.write("destinations.toml", DESTINATIONS + DESTINATIONS.replace("[test", "[dev"))
    return made


def plain(url: str) -> str:
    return Settings.read({"DATABASE_URL": url}, ROOT).database_url.get_secret_value()


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgres://u:p@h:5433/d", "postgresql+asyncpg://u:p@h:5433/d"),
        ("postgresql+psycopg2://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("sqlite:////tmp/a b.sqlite", "sqlite+aiosqlite:////tmp/a b.sqlite"),
    ],
)
def test_a_database_url_gets_a_driver_that_does_not_block(given, read):
    assert plain(given) == read


def test_where_nothing_is_set_the_documented_defaults_hold():
    settings = Settings.read({"PORT": "", "ADMIN_TOKEN": LONG}, ROOT, "prd")
    assert (settings.host, settings.port, settings.max_upload_bytes, settings.cors, settings.log_level) == (
        "0.0.0.0", 8000, 10_485_760, False, "info",
    )  # fmt: skip
    assert settings.storage == Path("/var/lib/ingest_api/audio")
    assert settings.database_url.get_secret_value() == "sqlite+aiosqlite:////var/lib/ingest_api/ingest.sqlite"


def test_in_dev_all_lies_in_the_workspace():
    settings = Settings.read({}, ROOT)
    assert settings.storage == ROOT / "ingest" / "audio"
    assert settings.database_url.get_secret_value() == f"sqlite+aiosqlite:///{ROOT}/ingest/ingest.sqlite"
    assert settings.admin_token.get_secret_value() == "changeme-admin-token"


@pytest.mark.parametrize(
    ("given", "environment", "message"),
    [
        ({"PORT": "many"}, "dev", "PORT: input should be a valid integer"),
        ({"PORT": "70000"}, "dev", "PORT: input should be less than or equal to 65535"),
        ({"CORS_ENABLED": "perhaps"}, "dev", "CORS_ENABLED: input should be a valid boolean"),
        ({"LOG_LEVEL": "loud"}, "dev", "LOG_LEVEL: input should be 'debug', 'info', 'warning' or 'error'"),
        ({"MAX_UPLOAD_SIZE_BYTES": "0", "PORT": "x"}, "dev", "MAX_UPLOAD_SIZE_BYTES: input should be greater"),
        ({"DATABASE_URL": "mysql://u:secret@h/d"}, "dev", "DATABASE_URL: is neither postgresql://… nor sqlite:///…"),
        ({"DATABASE_URL": "secret"}, "dev", "DATABASE_URL: is neither postgresql://… nor sqlite:///…"),
        ({}, "prd", "ADMIN_TOKEN: is the default or shorter than 16 characters, which only --env dev may have"),
        ({"ADMIN_TOKEN": "short"}, "pg", "ADMIN_TOKEN: is the default or shorter"),
    ],
)
def test_a_setting_that_is_wrong_is_named(given, environment, message):
    with pytest.raises(SettingError) as error:
        Settings.read(given, ROOT, environment)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_devices_are_kept_from_the_command_line(workspace):
    devices = ("serve", "devices")
    assert workspace.etl(*devices, "list").out == "no devices yet; try: etl serve devices add\n"
    ids = ("--point", POINT, "--register", REGISTER)
    made = workspace.etl(*devices, "add", *ids, "--zone", "Europe/Paris", "--output", "json").json
    assert len(made["token_plain"]) >= 43
    device = made["device_id"]
    added = workspace.etl(*devices, "add", *ids, "--output", "json", DEVICE_TOKEN=made["token_plain"])
    assert "WARNING: 1 other device has this token" in added.err
    given = added.json
    assert "token_plain" not in given
    changed = [
        workspace.etl(*devices, *verb, device) for verb in (["disable"], ["enable"], ["zone", "--zone", "Asia/Tokyo"])
    ]
    assert [each.out for each in changed] == [
        f"device {device}: {said}\n"
        for said in ("disabled, zone Europe/Paris", "enabled, zone Europe/Paris", "enabled, zone Asia/Tokyo")
    ]
    workspace.etl(*devices, "disable", device)
    new = workspace.etl(*devices, "rotate", device, "--output", "json").json
    assert new["token_plain"] != made["token_plain"]
    listed = workspace.etl(*devices, "list", "--output", "json").json
    assert [each["device_id"] for each in listed] == [given["device_id"], device]
    assert (listed[1]["timezone"], listed[1]["is_enabled"]) == ("Asia/Tokyo", False)
    assert device in workspace.etl(*devices, "list").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "--point", "here", "--register", REGISTER), "etl serve devices add: --point: input should be"),
        (("add", "--point", POINT, "--register", REGISTER, "--token", "short"), "--token: string should have at"),
        (("add", "--point", POINT, "--register", REGISTER, "--zone", "Mars"), "--zone: there is no time zone 'Mars'"),
        (("zone", POINT, "--zone", "Mars"), "devices zone: --zone: there is no time zone 'Mars'"),
        (("zone", POINT, "--zone", "UTC"), f"device {POINT}: there is none; see etl serve devices list"),
        (("enable", "here"), "device here: is no UUID; see etl serve devices list"),
        (("rotate",), "etl serve devices rotate: give one device, or --all"),
        (("rotate", POINT, "--all"), "etl serve devices rotate: give one device, or --all"),
        (("rotate", POINT, "--grace-hours", "1e12"), "'--grace-hours': Input should be less than or equal to 8760"),
        (("rotate", POINT), f"device {POINT}: there is none; see etl serve devices list"),
        (("disable", POINT), f"device {POINT}: there is none; see etl serve devices list"),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_meant_is_refused(workspace, words, said):
    result = workspace.etl("serve", "devices", *words)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert result.err.count("\n") == 1


def test_a_key_is_another_one_only_once_each_device_has_a_new_token(workspace):
    key, devices = {"TOKEN_KEY": "one key"}, ("serve", "devices")
    assert workspace.etl(*devices, "rotate", "--all", **key).out == "no devices yet; try: etl serve devices add\n"
    ids = [workspace.etl(*devices, "add", "--point", POINT, "--register", REGISTER, "--output", "json", **key)
           .json["device_id"] for _ in range(2)]  # fmt: skip
    file = workspace.root / "ingest" / "audio" / KEY_FILE
    for another, said in (
        ({"TOKEN_KEY": "another"}, "TOKEN_KEY: is not the key by which"),
        ({}, f"{file}: is gone, and"),
    ):
        for words in ([*devices, "rotate", ids[0]], [*devices, "add", "--point", POINT, "--register", REGISTER]):
            refused = workspace.etl(*words, **another)
            assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
            assert said in refused.err
            assert "where it is lost for good, etl serve devices rotate --all gives each device a new" in refused.err
    assert not file.exists()
    new = workspace.etl(*devices, "rotate", "--all", "--output", "json").json
    assert {each["device_id"] for each in new} == {*ids}
    assert [workspace.etl(*devices, "list", **told).code for told in ({}, key)] == [0, 2]
    with serving(workspace.root / "ingest") as service:
        sent = [service.send(b"x", each["token_plain"], device_id=each["device_id"]) for each in new]
        assert [answer.status_code for answer in sent] == [200, 200]


def test_a_device_is_added_once(workspace):
    words = ("serve", "devices", "add", "--point", POINT, "--register", REGISTER, "--device", POINT)
    assert [workspace.etl(*words).code for _ in range(2)] == [0, 2]


def test_it_does_not_start_where_it_cannot_serve(workspace):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        busy = workspace.etl("serve", "--host", "127.0.0.1", "--port", port, ADMIN_TOKEN=ADMIN)
    assert busy.code == 2
    assert f"127.0.0.1:{port}: Address already in use; give another --host or --port" in busy.err
    away = workspace.etl("serve", "--port", "0", DATABASE_URL="postgresql://u:hush@127.0.0.1:1/d")
    assert (away.code, "hush" in away.err) == (5, False)
    assert "ADMIN_TOKEN: is the default" in away.err
    assert "ADMIN_TOKEN" not in busy.err
    assert "DATABASE_URL: the database does not answer" in away.err
    workspace.write("a file", "")
    stuck = workspace.etl("serve", "--port", "0", AUDIO_STORAGE_DIR="a file/audio", DATABASE_URL="sqlite:///x.sqlite",
                          TOKEN_KEY="x")  # fmt: skip
    assert stuck.code == 2
    assert "a file/audio: Not a directory; let AUDIO_STORAGE_DIR name another folder" in stuck.err
    for command in (["serve", "--port", "0"], ["serve", "devices", "list"]):
        beside = workspace.etl(*command, AUDIO_STORAGE_DIR="/proc/nope")
        assert (beside.code, "AUDIO_STORAGE_DIR" in beside.err, "DATABASE_URL" in beside.err) == (2, True, False)
    nowhere = workspace.etl("serve", "--port", "0", DATABASE_URL="sqlite:////proc/nope/x.sqlite")
    assert (nowhere.code, "/proc/nope: No such file or directory; let DATABASE_URL name" in nowhere.err) == (2, True)
    nowhere = workspace.etl("serve", "--env", "nowhere", "--port", "0")
    assert (nowhere.code, "no [nowhere]" in nowhere.err) == (2, True)
    known = workspace.etl("serve", "--env", "test", "--port", "0")
    assert (known.code, known.out) == (2, "")
    assert "ADMIN_TOKEN" in known.err


@pytest.mark.parametrize(
    ("variables", "env", "said"),
    [
        ({}, "dev", ["ADMIN_TOKEN: is the default, which everybody knows, and 0.0.0.0"]),
        ({"HOST": "::"}, "dev", ["ADMIN_TOKEN: is the default, which everybody knows, and ::"]),
        ({"HOST": "recorders.example"}, "dev", ["ADMIN_TOKEN"]),
        ({"HOST": "127.0.0.1"}, "dev", []),
        ({"HOST": "::1"}, "dev", []),
        ({"HOST": "localhost"}, "dev", []),
        ({"ADMIN_TOKEN": LONG}, "dev", []),
        ({"ADMIN_TOKEN": LONG}, "prd", ["DATABASE_URL: is not set, so the rows are in SQLite, /var/lib/ingest_api/"]),
        ({"ADMIN_TOKEN": LONG, "DATABASE_URL": "postgresql://h/d"}, "prd", []),
        ({"ADMIN_TOKEN": LONG, "DATABASE_URL": "sqlite:////x.sqlite"}, "prd", []),
    ],
)  # fmt: skip
def test_what_is_allowed_and_may_not_be_meant_is_warned_of(variables, env, said):
    warnings = [*Settings.read(variables, ROOT, env).warnings()]
    assert [line[: len(start)] for line, start in zip(warnings, said, strict=True)] == said


def test_of_two_that_start_at_once_both_have_the_same_key(tmp_path, monkeypatch):
    def meanwhile(_: int) -> str:
        monkeypatch.setattr(secrets, "token_hex", lambda _: "of the other one")
        other.start()
        other.join(0.1)
        return "of this one"

    keys: list[bytes] = []
    other = Thread(target=lambda: keys.append(key_of(None, tmp_path)))
    monkeypatch.setattr(secrets, "token_hex", meanwhile)
    keys.append(key_of(None, tmp_path))
    other.join()
    assert keys == [(tmp_path / KEY_FILE).read_bytes()] * 2


def test_a_dot_env_has_settings_too(workspace):
    workspace.write(".env", "PORT=many\n")
    assert "PORT: input should be a valid integer" in workspace.etl("serve").err


def test_other_commands_do_not_pay_for_it():
    code = "import cli, sys; cli.grammar(); print([m for m in ('ingest_api', 'fastapi') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout == "[]\n"


def test_it_does_not_load_the_engine():
    code = "import ingest_api.command, sys; print([m for m in ('dlt', 'duckdb', 'pyarrow') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout == "[]\n"


def test_the_documented_curl_lines_do_what_they_say(tmp_path):
    page = (REPOSITORY / "docs" / "ingest_api.md").read_text()
    first, lines = (
        block.splitlines()
        for block in re.findall(r"<!-- these lines run as tests -->\n```console\n(.*?)```", page, re.DOTALL)
    )
    make_file = first[-1].replace(".venv/bin/python", shlex.quote(sys.executable))
    told = {"ADMIN_TOKEN": ADMIN, "TOKEN": "a-token-of-a-recorder", "FILE": str(tmp_path / "a chunk.ogg")}
    told |= {name: str(uuid4()) for name in ("DEVICE", "POINT", "REGISTER")}
    with serving(tmp_path / "served") as service:
        run = [
            subprocess.run(
                ["bash", "-c", line], env={**os.environ, **told, "URL": service.url}, capture_output=True, text=True,
                cwd=REPOSITORY,
            )
            for line in (make_file, *lines)
        ]  # fmt: skip
        [row] = service.ask("GET", "/api/v1/chunks").json()["chunks"]
    assert {name for line in lines for name in re.findall(r"\$([A-Z_]+)", line)} == {
        *re.findall(r"([A-Z_]+)=", "".join(first)),
    }
    assert [(each.returncode, each.stderr) for each in run] == [(0, "")] * (1 + len(lines))
    assert (row["start_ts"], row["status"], row["flags"]) == ("2024-01-15T13:30:22Z", "PROCESSING", [])
    erasing = re.search(r"```sql\n(.*?)```", page, re.DOTALL)[1]
    with sqlite3.connect(service.settings.storage.parent / "ingest.sqlite") as database:
        database.executescript(erasing.replace("DEVICE", UUID(told["DEVICE"]).hex))
        assert database.execute("SELECT (SELECT count(*) FROM audio_chunks) + count(*) FROM devices").fetchone() == (0,)


def test_each_setting_is_documented_and_each_documented_one_is_a_setting():
    page = (REPOSITORY / "docs" / "ingest_api.md").read_text().partition("## Settings")[2].partition("## In")[0]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"[A-Z_]{4,}", row)}
    assert named == {field.alias for field in Settings.model_fields.values() if field.alias}
