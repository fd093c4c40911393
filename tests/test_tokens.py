"""Sign-ins: three stores, tokens that rotate under several processes, and no token anywhere but in its store."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import requests
from dlt.destinations.exceptions import DatabaseTransientException, DestinationConnectionError

from pipelines import configuration
from pipelines import environment as environments
from pipelines.tokens.settings import Settings, packed, variable_of
from pipelines.tokens.terminal import Terminal
from pipelines.tokens.warehouse import Warehouse
from sandbox.server import Sandbox
from sources.kit.errors import SignInNeeded
from tests import killed
from tests.killed import WAIT, At
from tests.signed_in import choose, install, landing, login
from tests.warehouse import Ask
from tests.workspace import DESTINATIONS, Workspace

KEY = "a key of thirty-two characters or more"
RUN = ("run", "oauth", "--env")
BOTH = ("oauth", "other")
SPENT = {"times": "3", "once": "true"}
RENEWS = At("sources.kit.oauth2:SignedIn._exchanged")
ROTATED = At("sources.kit.oauth2:OAuth2.refreshed", "after")
REST = """
name: oauth
about: The same rows without Python.
rest:
  client: {base_url: "https://upstream.example.test"}
  resources:
    - {name: rows, primary_key: id, write_disposition: merge, endpoint: {path: rows, paginator: single_page}}
"""


@pytest.fixture
def engine(workspace, sandbox) -> Workspace:
    made = install(workspace(), sandbox)
    made.variables["ENGINE__TOKENS_KEY"] = KEY
    return made


@pytest.fixture(params=["file", "destination", "destination, bigquery"])
def site(request, engine) -> SimpleNamespace:
    """A workspace with each store that keeps, and the environment that has it."""
    tokens, _, kind = request.param.partition(", ")
    env = "bq" if kind else "test"
    if env == "bq":
        engine.bigquery(request.getfixturevalue("project").variables)
    choose(engine, env, tokens)
    return SimpleNamespace(engine=engine, env=env)


def file_of(engine: Workspace, account: str = "", env: str = "test") -> Path:
    return engine.root / f".dlt/tokens/{env}/oauth{account and f'.{account}'}.json"


def content(engine: Workspace, account: str = "", env: str = "test") -> dict[str, Any]:
    return json.loads(file_of(engine, account, env).read_text())


def change(engine: Workspace, account: str = "", **changes: Any) -> None:
    """Change what a file keeps; None takes a key away."""
    told = {**content(engine, account), **changes}
    file_of(engine, account).write_text(json.dumps({k: v for k, v in told.items() if v is not None}))


def asked(sandbox: Sandbox, path: str) -> list[int]:
    return [seen.status for seen in sandbox.requests if seen.path.startswith(f"/oauth/{path}")]


def status(engine: Workspace, *words: str, env: str = "test") -> tuple[int, Any]:
    result = engine.etl("auth", "status", *words, "--env", env, "--output", "json")
    return result.code, result.json


def days(count: float) -> str:
    return (datetime.now(UTC) + timedelta(days=count)).isoformat()


def test_a_sign_in_lasts_over_runs_in_every_store_that_keeps(site, sandbox):
    engine, env = site.engine, site.env
    for _ in ("the first time", "once more"):
        done = login(engine, env=env)
        assert (done.code, "oauth: the sign-in ends in 179 days; kept in " in done.out) == (0, True), done
    for day in (2, 3):
        sandbox.move_to(day)
        result = engine.etl(*RUN, env)
        assert (result.code, result.err) == (0, ""), result
    assert asked(sandbox, "token") == [200, 200, 200, 200]
    assert asked(sandbox, "rows") == [401, 200, 401, 200]
    assert [(code, one["signed_in"]) for code, (one,) in [status(engine, env=env)]] == [(0, True)]


def test_two_runs_that_renew_at_once_lose_no_token(workspace, sandbox, postgres_url):
    """They meet at the end of the token they share, and each page spends it; the server takes a refresh token once."""
    engine = install(workspace(), sandbox, *BOTH)
    engine.postgres(postgres_url)
    engine.variables |= {"ENGINE__TOKENS_KEY": KEY}
    engine.variables |= {f"SOURCES__{name}__{key}".upper(): value for name in BOTH for key, value in SPENT.items()}
    for day, tokens in ((2, "file"), (3, "destination")):
        choose(engine, "pg", tokens)
        assert login(engine, env="pg").code == 0
        sandbox.move_to(day)
        sandbox.fault("/token", "slow", times=2, seconds=0.2)
        runs = [killed.start(engine, "run", name, "--env", "pg", moment=RENEWS, act=WAIT) for name in BOTH]
        for run in [run.until_waiting() for run in runs]:
            run.go_on()
        results = [run.ended() for run in runs]
        assert [(result.code, result.err) for result in results] == [(0, "")] * 2
        assert set(asked(sandbox, "token")) == {200}
        assert engine.etl(*RUN, "pg").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_the_new_token_and_its_store_loses_nothing(engine, sandbox, number):
    login(engine)
    before = content(engine)
    sandbox.move_to(2)
    result = killed.start(engine, *RUN, "test", moment=ROTATED, act=number).ended()
    assert result.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], result
    assert content(engine)["refresh_token"] != before["refresh_token"]
    assert engine.etl(*RUN, "test").code == 0


def test_a_run_killed_while_it_renews_leaves_others_able_to(engine, sandbox, postgres_url, monkeypatch):
    """Its claim on the row ends by itself; the token it took along needs a person, and the run says so."""
    monkeypatch.setattr("pipelines.tokens.warehouse.CLAIM", timedelta(seconds=0.1))
    monkeypatch.setattr("pipelines.tokens.warehouse.POLL_SECONDS", 0.05)
    engine.postgres(postgres_url)
    choose(engine, "pg", "destination")
    login(engine, env="pg")
    sandbox.move_to(2)
    killed.killed(engine, ROTATED, *RUN, "pg")
    Ask(engine, postgres_url)("SELECT 1")
    claimed = "UPDATE _etl.tokens SET claimed_until = now() + interval '0.2 seconds' RETURNING claimed_by"
    assert execute(postgres_url, claimed)[0][0]
    assert engine.etl(*RUN, "pg").code == 6
    login(engine, env="pg")
    assert engine.etl(*RUN, "pg").code == 0


def test_a_run_killed_before_the_destination_has_the_new_token_leaves_it_to_the_next(engine, sandbox):
    """Encrypted, in a file of its own, from which the run after it writes it; nobody has to sign in."""
    choose(engine, "test", "destination")
    login(engine)
    sandbox.move_to(2)
    killed.killed(engine, At("pipelines.tokens.warehouse:Warehouse.replace"), *RUN, "test")
    with duckdb.connect(str(engine.root / "warehouse.duckdb")) as connection:
        connection.execute("UPDATE _etl.tokens SET claimed_until = '2000-01-01'")
    (left,) = (engine.root / ".dlt/tokens/test").glob("*.unsaved")
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    assert not [secret for secret in made(sandbox) if secret in left.read_text()]
    for day in (2, 3, 4):
        sandbox.move_to(day)
        result = engine.etl(*RUN, "test")
        assert (result.code, set(asked(sandbox, "token")), left.exists()) == (0, {200}, day == 2), result
    assert engine.query("SELECT version FROM _etl.tokens") == [(4,)]


def test_a_destination_that_stays_away_leaves_the_new_token_to_the_next_run(engine, sandbox, monkeypatch):
    choose(engine, "test", "destination")
    login(engine)
    sandbox.move_to(2)

    def away(*_: Any) -> None:
        raise DatabaseTransientException(OSError())

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.tokens.warehouse.PAUSES", (0.0,))
        patch.setattr(Warehouse, "replace", away)
        assert engine.etl(*RUN, "test").code == 5
    assert (engine.etl(*RUN, "test").code, asked(sandbox, "token")) == (0, [200, 200])


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    import psycopg2

    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_a_destination_that_is_away_for_a_moment_keeps_the_new_token(engine, sandbox, monkeypatch):
    choose(engine, "test", "destination")
    login(engine)
    sandbox.move_to(2)
    replace, away = (
        Warehouse.replace,
        [DatabaseTransientException(OSError()), DestinationConnectionError("x", "y", "z", OSError())],
    )

    def seldom(*given: Any) -> None:
        if away:
            raise away.pop()
        replace(*given)

    monkeypatch.setattr("pipelines.tokens.warehouse.PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Warehouse, "replace", seldom)
    assert (engine.etl(*RUN, "test").code, away) == (0, [])
    assert asked(sandbox, "token") == [200, 200]
    assert engine.etl(*RUN, "test").code == 0
    assert asked(sandbox, "rows") == [401, 200, 200]


@pytest.mark.parametrize("store", ["file", "destination"])
def test_a_sign_in_that_was_withdrawn_needs_a_person(engine, sandbox, store):
    """That stays known until somebody has signed in, wherever tokens are kept."""
    choose(engine, "test", store)
    login(engine)
    kept = json.loads(engine.etl("auth", "export", "oauth", "--env", "test", "--output", "json").out)
    refresh = json.loads(base64.b64decode(kept[variable_of("oauth", "")]))["refresh_token"]
    requests.post(f"{sandbox.url}/oauth/revoke", {"token": refresh}, timeout=30)
    result = engine.etl(*RUN, "test")
    assert (result.code, "withdrawn; run: etl auth login oauth --env test" in result.err) == (6, True), result
    told = engine.etl("auth", "status", "oauth", "--env", "test")
    assert (told.code, "  refused by the upstream on " in told.out) == (6, True), told
    assert "oauth: the sign-in has ended; run: etl auth login" in engine.etl("status", "--env", "test").err
    assert "FAIL  sign-in of oauth: refused by the upstream on " in doctor(engine)
    assert (login(engine).code, status(engine)[0], engine.etl(*RUN, "test").code) == (0, 0, 0)


def test_a_run_that_is_answered_takes_a_refusal_back(engine):
    login(engine)
    change(engine, refused_at=days(-1))
    assert status(engine)[0] == 6
    result = engine.etl(*RUN, "test")
    assert (result.code, result.err, status(engine)[0]) == (0, "", 0)


def test_a_refusal_does_not_take_the_place_of_a_newer_token(engine, monkeypatch):
    choose(engine, "test", "destination")
    login(engine)

    def refused(*_: object) -> None:
        """What an upstream says while another process, that claimed the row long ago, writes its token."""
        with duckdb.connect(str(engine.root / "warehouse.duckdb")) as connection:
            connection.execute("UPDATE _etl.tokens SET version = version + 1")
        raise SignInNeeded("oauth: answered 400 (invalid_grant)")

    monkeypatch.setattr("sources.kit.oauth2.OAuth2.refreshed", refused)
    monkeypatch.setattr("sources.kit.tokens.SOON", timedelta(days=1))
    assert (engine.etl(*RUN, "test").code, status(engine)[0]) == (6, 0)


def test_several_accounts_of_one_system(engine, sandbox):
    login(engine, "--account", "anna")
    login(engine, "--account", "ben@example.org")
    found = engine.etl(*RUN, "test", SOURCES__OAUTH__ACCOUNTS='["anna", "ben@example.org"]')
    assert found.code == 0, found
    assert engine.query("SELECT account, count(*) FROM oauth.rows GROUP BY 1 ORDER BY 1") == [
        ("anna", 20),
        ("ben@example.org", 20),
    ]
    assert [one["account"] for one in status(engine)[1]] == ["anna", "ben@example.org"]
    assert status(engine, "oauth", "--account", "carl")[0] == 6
    missing = engine.etl(*RUN, "test", SOURCES__OAUTH__ACCOUNTS='["carl"]')
    assert (missing.code, "oauth (carl): nobody" in missing.err, "--account carl" in missing.err) == (6, True, True)
    for command in ("login", "status", "export"):
        assert engine.etl("auth", command, "oauth", "--env", "test", "--account", "../carl").code == 2


def test_a_rest_spec_signs_its_requests(engine, sandbox):
    engine.write("specs/oauth.yaml", REST)
    login(engine)
    sandbox.move_to(2)
    result = engine.etl(*RUN, "test")
    assert result.code == 0, result
    assert engine.query("SELECT count(*) FROM oauth.rows") == [(20,)]


def test_tokens_of_the_environment_are_used_and_a_new_one_is_told_of(engine, sandbox):
    login(engine)
    exported = engine.etl("auth", "export", "oauth", "--env", "test")
    settings = dict(line.split("=", 1) for line in exported.out.splitlines())
    assert set(settings) == {"SOURCES__OAUTH__CLIENT_ID", "SOURCES__OAUTH__TOKEN"}
    assert ("as good as a password" in exported.err, re.search(r"['\"\s$]", "".join(settings.values()))) == (True, None)
    choose(engine, "test", "environment")
    alone = {"SOURCES__OAUTH__REFRESH_TOKEN": content(engine)["refresh_token"]}
    file_of(engine).unlink()
    assert engine.etl(*RUN, "test").code == 6
    assert engine.etl(*RUN, "test", **settings).code == 0
    assert engine.etl("auth", "status", "oauth", "--env", "test", **settings).code == 0
    assert (login(engine).code, engine.etl("auth", "status", "oauth", "--env", "test").code) == (2, 6)
    result = engine.etl(*RUN, "test", **alone)
    assert (result.code, "cannot keep it" in result.err, "refresh-" in result.err) == (0, True, False), result
    report = json.loads((max(engine.root.glob("runs/*")) / "manifest.json").read_text())
    assert "the upstream gave a new refresh token" in report["warnings"][0]
    assert killed.start(engine, *RUN, "test").ended().code == 6
    engine.variables |= alone
    assert killed.start(engine, *RUN, "test").ended().code == 6  # another process knows the old one only


def test_every_account_of_the_environment_is_told(engine):
    """Those whose tokens are set, and those that the spec asks for; `etl status` warns of one that ends soon."""
    for account in ("anna", "ben@example.org"):
        login(engine, "--account", account)
        change(engine, account, refresh_expires_at=days(5.5))
        exported = engine.etl("auth", "export", "oauth", "--env", "test", "--account", account)
        engine.variables |= dict(line.split("=", 1) for line in exported.out.splitlines())
    choose(engine, "test", "environment")
    engine.variables |= {"SOURCES__OAUTH__ACCOUNTS": '["anna", "carl"]', "SOURCES__GITHUB__TOKEN": "none of ours"}
    code, told = status(engine)
    assert (code, [(one["account"], one["signed_in"]) for one in told]) == (
        6, [("anna", True), ("ben@example.org", True), ("carl", False)],
    )  # fmt: skip
    found = doctor(engine)
    for line in (
        "OK    sign-in of oauth (anna): the sign-in ends in 5 days; set SOURCES__OAUTH__ANNA__TOKEN to",
        "OK    secret sources.oauth.ben_40example_2eorg.token: found in Environment Variables",
        "FAIL  secret sources.oauth.carl.token: missing; set SOURCES__OAUTH__CARL__TOKEN",
        "FAIL  sign-in of oauth (carl): nobody has signed in; set SOURCES__OAUTH__CARL__TOKEN to",
    ):
        assert line in found
    assert "sources.oauth.token:" not in found
    warned = engine.etl("status", "--env", "test").err.splitlines()
    assert [line.split(": ")[1] for line in warned] == ["oauth (anna)", "oauth (ben@example.org)"], warned


def test_a_spec_with_accounts_lets_nobody_else_sign_in(engine):
    """Who is asked first types a password for nothing; who exports is told the names."""
    several = {"SOURCES__OAUTH__ACCOUNTS": '["anna", "carl"]'}
    refused = engine.etl("auth", "login", "oauth", "--env", "test", "--account", "you", **several)
    assert (refused.code, "--account you: is none of its accounts: anna, carl; add" in refused.err) == (2, True)
    for verb in ("login", "export"):
        unnamed = engine.etl("auth", verb, "oauth", "--env", "test", **several)
        assert (unnamed.code, "name one with --account: anna, carl" in unnamed.err) == (2, True), unnamed


def test_the_only_account_needs_no_name(engine):
    """Whoever signs in is who a run asks for."""
    engine.variables["SOURCES__OAUTH__ACCOUNTS"] = '["anna"]'
    assert login(engine).out.startswith("oauth (anna): the sign-in ends in 179 days")
    assert engine.etl(*RUN, "test").code == 0
    assert "SOURCES__OAUTH__ANNA__TOKEN=" in engine.etl("auth", "export", "oauth", "--env", "test").out


def test_an_environment_that_asks_the_sandbox_exports_its_accounts(workspace):
    made = workspace("garmin")
    made.write("destinations.toml", DESTINATIONS.replace("[test]", "[test]\nsandbox = true"))
    found = made.etl("auth", "export", "garmin", "--env", "test", "--account", "anna")
    assert (found.code, found.out.startswith("SOURCES__GARMIN__ANNA__TOKEN=")) == (0, True), found


def test_accounts_of_the_environment_are_kept_apart(engine):
    """Also where no refresh token tells them apart, as of a login with a library of its own."""
    choose(engine, "test", "environment")
    environment = environments.load(engine.root, "test")
    store, given = Settings(environment), {name: {"extra": {"key": name}} for name in ("", "anna", "ben")}
    names = {name: variable_of("oauth", name) for name in given}
    assert set(names.values()) == {f"SOURCES__OAUTH__{account}TOKEN" for account in ("", "ANNA__", "BEN__")}
    with pytest.MonkeyPatch.context() as patch:
        for name, variable in names.items():
            patch.setenv(variable, packed(given[name]))
        configuration.activate(environment)
        with store.exclusively("oauth", "anna") as slot:
            slot.write({"extra": {"key": "new"}})
        assert [store.read("oauth", name)["extra"]["key"] for name in given] == ["", "new", "ben"]
        patch.delenv(names["ben"])
        assert store.read("oauth", "ben") is None


@pytest.mark.parametrize(("value", "said"), [("no base64!", "oauth.token: not a token"), ("W10=", "not a token")])
def test_a_token_of_the_environment_that_is_none_is_told(engine, value, said):
    choose(engine, "test", "environment")
    result = engine.etl(*RUN, "test", SOURCES__OAUTH__TOKEN=value)
    assert (result.code, said in result.err, value in result.err) == (2, True, False), result


@pytest.mark.parametrize(
    ("path", "mode", "said"),
    [
        (".dlt/tokens/test", 0o755, "others can read it, and what they saw is theirs too; chmod 700 .dlt/tokens/test"),
        (".dlt/tokens/test/oauth.json", 0o640, "chmod 600 .dlt/tokens/test/oauth.json"),
    ],
)
def test_a_token_that_others_can_read_is_not_used(engine, path, mode, said):
    login(engine)
    (engine.root / path).chmod(mode)
    result = engine.etl(*RUN, "test")
    assert (result.code, said in result.err) == (2, True), result


def test_a_token_is_for_its_owner_alone_from_the_first_byte(engine):
    login(engine)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (file_of(engine), file_of(engine).parent)} == {0o600, 0o700}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "engine.tokens_key is missing; set ENGINE__TOKENS_KEY"),
        ("short", "engine.tokens_key is shorter than 32 characters"),
        (KEY[::-1], "engine.tokens_key: cannot read the token of oauth; set the key it was written with"),
    ],
)
def test_the_destination_gives_a_token_to_who_has_the_key(engine, key, said):
    choose(engine, "test", "destination")
    login(engine)
    engine.variables["ENGINE__TOKENS_KEY"] = key
    result = engine.etl(*RUN, "test")
    assert (result.code, said in result.err) == (2, True), result
    assert login(engine).code == (2 if len(key) < 32 else 0)


STANDING = [  # the days that are left, of what a file keeps
    ({}, 0, "the sign-in ends in 179 days", False),
    ({"refresh_expires_at": None}, 0, "signed in", False),
    ({"refresh_expires_at": 5.5}, 0, "the sign-in ends in 5 days", True),
    ({"refresh_expires_at": 1.1}, 0, "the sign-in ends in 1 day", True),
    ({"refresh_expires_at": 0.41}, 0, "the sign-in ends in 9 hours", True),
    ({"refresh_expires_at": -1}, 6, "the sign-in has ended", True),
    ({"refresh_expires_at": 9, "expires_at": -1}, 0, "the sign-in ends in 8 days", False),
    ({"expires_at": -1, "refresh_token": None}, 6, "the sign-in has ended", True),
]


def test_status_and_doctor_tell_how_an_account_stands(engine):
    login(engine)
    for changes, code, state, near in STANDING:
        change(engine, **{key: left and days(left) for key, left in changes.items()})
        told = engine.etl("auth", "status", "oauth", "--env", "test")
        assert (told.code, f"  {state}  " in told.out) == (code, True), told
        warned = engine.etl("status", "--env", "test").err
        assert (f"oauth: {state}; run: etl auth login oauth --env test" in warned) is near, warned
    assert "FAIL  sign-in of oauth: the sign-in has ended; run: etl auth login" in doctor(engine)
    change(engine, expires_at=days(6))
    assert "OK    sign-in of oauth: the sign-in ends in 5 days; run: etl auth login" in doctor(engine)


def doctor(engine: Workspace) -> str:
    return engine.etl("doctor", "--env", "test").out


def test_who_has_not_signed_in_yet_is_told_how(engine):
    assert status(engine)[1][0]["signed_in"] is False
    assert (status(engine)[0], status(engine, "oauth")[0]) == (6, 6)
    told = doctor(engine)
    assert "FAIL  sign-in of oauth: nobody has signed in; run: etl auth login oauth --env test" in told
    assert "setting sources.oauth.client_id: found in Environment Variables" in told


def test_a_spec_without_a_sign_in_is_told_apart(workspace):
    engine = workspace("github")
    assert engine.etl("auth", "status", "--env", "test").out == "no spec needs anyone to sign in\n"
    for command in ("login", "export", "status"):
        refused = engine.etl("auth", command, "github", "--env", "test")
        assert (refused.code, refused.err) == (2, "github: needs no sign-in; no spec does\n")


def test_a_spec_without_a_sign_in_leads_to_those_with_one(engine):
    engine.link("github")
    assert engine.etl("auth", "login", "github", "--env", "test").err == "github: needs no sign-in; these do: oauth\n"


@pytest.mark.parametrize(
    ("pasted", "code", "said"),
    [
        ("", 2, "address or code: nothing was given"),
        ("http://127.0.0.1?code=x&state=y", 2, "belongs to another sign-in"),
        ("http://127.0.0.1?error=access_denied", 6, "not signed in: access_denied"),
        ("made-up-code", 6, "(invalid_grant)"),
    ],
)
def test_what_is_pasted_must_be_an_answer(engine, pasted, code, said):
    result = login(engine, pasted=pasted)
    assert (result.code, said in result.err, file_of(engine).exists()) == (code, True, False), result


def test_a_browser_brings_the_answer_by_itself(engine, monkeypatch):
    seen: list[int] = []

    def follow(address: str) -> bool:
        there = landing(address)
        strangers = (there.replace("state=", "state=x"), there.replace("?", "/elsewhere?"))
        seen.extend(requests.get(url, timeout=30).status_code for url in (*strangers, there))
        return True

    monkeypatch.setattr("webbrowser.open", follow)
    result = engine.etl("auth", "login", "oauth", "--env", "test")
    assert (result.code, content(engine)["scope"], seen) == (0, "rows.read", [400, 400, 200]), result


def test_a_browser_that_brings_nothing_is_not_waited_for_without_end(engine, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: True)
    monkeypatch.setattr("pipelines.tokens.terminal.PATIENCE_SECONDS", 0.01)
    result = engine.etl("auth", "login", "oauth", "--env", "test")
    assert (result.code, "use --no-browser" in result.err) == (6, True), result


def test_where_no_browser_opens_the_address_is_pasted(engine, monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    assert login(engine, browser=True).code == 0


def test_what_a_person_is_asked_is_read_from_where_they_type(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("  one\ntwo\n"))
    assert [Terminal(False, ()).ask("what"), Terminal(False, ()).ask("password", secret=True)] == ["one", "two"]
    assert capsys.readouterr().err == "what: password: "
    monkeypatch.setattr("sys.stdin", Screen("shown\n"))
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: f"typed at {prompt!r}")
    assert Terminal(False, ()).ask("password", secret=True) == "typed at 'password: '"


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_an_export_shows_no_secret_on_a_screen(engine, monkeypatch):
    login(engine)
    monkeypatch.setattr("io.StringIO", Screen)
    assert engine.etl("auth", "export", "oauth", "--env", "test").code == 2
    assert "SOURCES__OAUTH__TOKEN" in engine.etl("auth", "export", "oauth", "--env", "test", "--yes", "-o", "json").json


def test_a_secret_is_in_no_output_and_no_file_but_the_store(engine, sandbox, postgres_url):
    """Every token that the sandbox ever made, and the app's secret, looked for wherever the program writes."""
    engine = install(engine, sandbox, secret="body")
    engine.postgres(postgres_url)
    said = []
    for env, tokens in (("test", "file"), ("pg", "destination")):
        choose(engine, env, tokens)
        done = login(engine, env=env)
        said += [re.sub(r"http://\S+", "", done.err), done.out]
        for day, fault in ((2, "/rows"), (3, "/token"), (182, None)):
            sandbox.clear_faults()
            sandbox.move_to(day + (182 if env == "pg" else 0))
            sandbox.fault(fault or "/nowhere", "401", times=9)
            said += [
                *words(engine, "--debug", "--log-format", "json", *RUN, env),
                *words(engine, "status", "--env", env),
            ]
        said += [*words(engine, "auth", "status", "--env", env), *words(engine, "doctor", "--env", env)]
        said += words(engine, "state", "show", "oauth", "--env", env)
        login(engine, env=env)
        said += words(engine, "--debug", *RUN, env, "--with", "fails=true")
    secrets = {"sandbox-app-secret", KEY, *made(sandbox)}
    assert len(secrets) > 10
    places = {str(path): path.read_bytes() for path in engine.root.rglob("*") if path.is_file()}
    places |= {f"output {number}": text.encode() for number, text in enumerate(said)}
    places["postgres"] = dumped(postgres_url)
    found = {place for place, text in places.items() for secret in secrets if secret.encode() in text}
    assert found == {str(file_of(engine))}


def words(engine: Workspace, *command: str) -> list[str]:
    result = engine.etl(*command)
    return [result.out, result.err]


def made(sandbox: Sandbox) -> set[str]:
    """Every token and code of a sandbox, by its own way to make them."""
    memory = sandbox.world.memory["oauth"]
    numbers = range(1, memory["made"] + 1)
    random = sandbox.world.random
    return {
        f"{kind}-{random('oauth', kind, number).getrandbits(160):040x}"
        for kind in ("access", "refresh", "code")
        for number in numbers
    }


def dumped(url: str) -> bytes:
    """Every text of a database."""
    ask = Ask(SimpleNamespace(root=Path()), url)
    tables = ask("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema ~ 'etl|oauth'")
    return "\n".join(str(ask(f'SELECT * FROM "{schema}"."{table}"')) for schema, table in tables).encode()
