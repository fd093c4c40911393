"""Sign-ins that were lost, mixed up or told wrongly: by a run that began meanwhile, a full disk, a lying upstream."""

from __future__ import annotations

import errno
import signal
import socket
import time
from typing import Any

import duckdb
import pytest

from pipelines.lock import held
from tests import killed, signed_in
from tests.killed import WAIT, At
from tests.scripted_server import reply, serving
from tests.signed_in import choose, install, login
from tests.test_tokens import KEY, ROTATED, RUN, asked, change, content, file_of, status
from tests.toys import rows, toy
from tests.workspace import Workspace

GOOD = "access-of-the-upstream"
NEW = "refresh-of-the-upstream"


@pytest.fixture
def engine(workspace, sandbox) -> Workspace:
    made = install(workspace(), sandbox)
    made.variables["ENGINE__TOKENS_KEY"] = KEY
    return made


def test_a_run_that_begins_while_a_person_signs_in_costs_no_sign_in(engine, monkeypatch):
    choose(engine, "test", "destination")
    toy(engine, rows(3))
    landing, runs = signed_in.landing, list[killed.Run]()

    def while_a_run_begins(address: str) -> str:
        moment = At("pipelines.load:Load.run")
        runs.append(killed.start(engine, "run", "toy", "--env", "test", moment=moment, act=WAIT).until_waiting())
        return landing(address)

    def let_go(environment: Any, name: str, run_id: str, wait_seconds: float = 0) -> Any:
        if runs:
            runs[0].go_on()
        return held(environment, name, run_id, wait_seconds)

    monkeypatch.setattr(signed_in, "landing", while_a_run_begins)
    monkeypatch.setattr("pipelines.tokens.auth.held", let_go)
    result = login(engine)
    assert (result.code, runs[0].ended().code, status(engine)[0]) == (0, 0, 0), result
    assert "the sign-in is kept as soon as that has ended, wait for it" in result.err


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_cancelled_with_two_signals_keeps_its_new_token(engine, sandbox, first):
    """A runner of GitHub sends SIGINT and soon SIGTERM; a person presses Ctrl-C until something happens."""
    login(engine)
    before = content(engine)["refresh_token"]
    sandbox.move_to(2)
    run = killed.start(engine, *RUN, "test", moment=ROTATED, act=WAIT).until_waiting()
    for number in (first, signal.SIGTERM, signal.SIGTERM):
        run.signal(number)
        time.sleep(0.2)  # each is met by itself
    assert (run.go_on().ended().code, content(engine)["refresh_token"] != before) == (143, True)
    assert engine.etl(*RUN, "test").code == 0


LIES = {
    "null": {"access_token": None, "refresh_token": NEW},
    "empty": {"access_token": "", "refresh_token": NEW},
    "no text": {"access_token": ["a"], "refresh_token": NEW},
    "two headers": {"access_token": "a\r\nX: y", "refresh_token": NEW},
    "not ASCII": {"access_token": GOOD, "refresh_token": "\ud800" + NEW},
    "a number": {"access_token": GOOD, "refresh_token": 1234567890},
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_token_takes_no_token_s_place(engine, sandbox, lie):
    login(engine)
    before = content(engine)
    sandbox.fault("/rows", "401", times=1)
    with serving(lambda _: reply(200, LIES[lie])) as upstream:
        result = engine.etl(*RUN, "test", SOURCES__OAUTH__TOKEN_URL=upstream.url)
    assert (result.code, content(engine)) == (1, before), result
    assert "answered 200; check redirect_uri and scopes of the app" in result.err


def test_no_setting_lets_a_renewal_outlast_its_claim(engine, sandbox, monkeypatch):
    login(engine)
    sandbox.move_to(2)
    monkeypatch.setattr("sources.kit.tokens.RENEWAL_SECONDS", 0.2)
    patient = {f"SOURCES__OAUTH__HTTP__{each}_SECONDS": "600" for each in ("DEADLINE", "READ_TIMEOUT")}
    with serving(lambda _: [2.0]) as upstream:
        result = engine.etl(*RUN, "test", SOURCES__OAUTH__TOKEN_URL=upstream.url, **patient)
    assert (result.code, "no whole answer in time" in result.err) == (5, True), result


def test_a_full_disk_is_met_before_a_token_is_spent(engine, sandbox, monkeypatch):
    login(engine)
    sandbox.move_to(2)

    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.tokens.files.write_secret", full)
        result = engine.etl(*RUN, "test")
    assert (result.code, "the disk is full" in result.err, asked(sandbox, "token")) == (1, True, [200]), result
    assert engine.etl(*RUN, "test").code == 0
    assert {file.suffix for file in file_of(engine).parent.iterdir()} <= {".json", ".lock"}


def test_no_two_accounts_share_a_variable(engine):
    """Else a run would load one person's rows under another's name."""
    names = ["a.b", "a_b", "a-b", "a@b", "A_B", "ab"]
    for name in names:
        login(engine, "--account", name)
    exported = [engine.etl("auth", "export", "oauth", "--env", "test", "--account", name).out for name in names]
    assert len({line.split("=")[0] for text in exported for line in text.splitlines() if "TOKEN" in line}) == 6
    for text in exported:
        engine.variables |= dict(line.split("=", 1) for line in text.splitlines())
    kept = [content(engine, name)["access_token"] for name in names]
    choose(engine, "test", "environment")
    settings = [engine.etl("auth", "export", "oauth", "--env", "test", "--account", name).out for name in names]
    assert (len(set(kept)), settings) == (6, exported)


WRONG: dict[str, bytes] = {
    "binary": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "another key": b'{"acces_token": "abcdefghi"}',
    "a number": b'{"access_token": 5}',
    "no zone": b'{"access_token": "abcdefghi", "refresh_expires_at": "2030-01-01T00:00:00", "refresh_token": "r"}',
    "a moment that is none": b'{"access_token": "abcdefghi", "expires_at": 5}',
}


def test_a_file_that_holds_no_token_is_told_by_every_command(engine):
    login(engine)
    for name, text in WRONG.items():
        file_of(engine).write_bytes(text)
        told = [engine.etl(*RUN, "test"), engine.etl("auth", "status", "oauth", "--env", "test")]
        assert [(each.code, "sign in again: etl auth login" in each.err) for each in told] == [(2, True)] * 2, name
        assert engine.etl("status", "--env", "test").code == 0, name
    assert (login(engine).code, engine.etl(*RUN, "test").code) == (0, 0)


@pytest.mark.parametrize("payload", [None, "é"])
def test_a_row_that_no_key_wrote_is_told(engine, payload):
    choose(engine, "test", "destination")
    login(engine)
    with duckdb.connect(str(engine.root / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE _etl.tokens SET payload = ?", [payload])
    result = engine.etl(*RUN, "test")
    assert (result.code, "set the key it was written with, or sign in again" in result.err) == (2, True), result


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
@pytest.mark.parametrize("setting", ["BASE_URL", "TOKEN_URL"])
def test_a_host_that_no_network_takes_is_told(engine, sandbox, setting, host):
    login(engine)
    sandbox.move_to(2)
    result = engine.etl(*RUN, "test", **{f"SOURCES__OAUTH__{setting}": f"http://{host}/x?key=s3cret"})
    assert (result.code, "cannot be asked" in result.err, "s3cret" in result.err) == (2, True, False), result


def test_the_first_moment_of_all_has_passed(engine):
    login(engine)
    change(engine, expires_at="0001-01-01T00:00:00+00:00")
    assert engine.etl(*RUN, "test").code == 0


def test_a_token_may_stand_in_toml(engine):
    done = login(engine)
    assert done.code == 0, done
    kept = content(engine)
    choose(engine, "test", "environment")
    lines = [f'access_token = "{kept["access_token"]}"', f'refresh_token = "{kept["refresh_token"]}"']
    engine.write(".dlt/secrets.toml", "\n".join(["[sources.oauth.token]", *lines, "expires_at = 2100-01-01T00:00:00Z"]))
    result = engine.etl(*RUN, "test")
    assert result.code == 0, result


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:99999", "redirect_uri: not an address: Port out of range"),
        ("http://[::1", "redirect_uri: not an address: Invalid IPv6 URL"),
        ("taken", "cannot be served here: Address already in use; end what listens there, or use --no-browser"),
    ],
)
def test_a_redirect_uri_that_cannot_be_served_is_told(engine, uri, said):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}" if uri == "taken" else uri
        result = engine.etl("auth", "login", "oauth", "--env", "test", SOURCES__OAUTH__REDIRECT_URI=uri)
    assert (result.code, said in result.err) == (2, True), result


def test_an_address_that_is_none_may_be_pasted(engine):
    result = login(engine, pasted="http://[x?code=y")
    assert (result.code, "what was pasted: not an address: Invalid IPv6 URL; start again" in result.err) == (2, True)
