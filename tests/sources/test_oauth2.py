"""OAuth 2 against the sandbox's strict server: sign in once, renew in time, lose nothing, say nothing."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sources.kit import http, tokens
from sources.kit.errors import BadSetting, SignInNeeded, SourceError, TryLater
from sources.kit.oauth2 import OAuth2
from sources.kit.tokens import Token
from tests.scripted_server import Asked, reply, serving
from tests.signed_in import landing, query


class Memory:
    """A store that forgets all at its end, as strict as the real ones."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def read(self, name: str, account: str) -> Any:
        return self.kept.get((name, account))

    @contextlib.contextmanager
    def exclusively(self, name: str, account: str):
        store = self

        class Slot:
            def read(self) -> Any:
                return store.read(name, account)

            def write(self, content: Any) -> None:
                store.kept[name, account] = content

        with self._lock:
            yield Slot()

    def way_in(self, name: str, account: str) -> str:
        return f"sign in to {name} {account}".strip()


class Person:
    """Follows the address that is shown."""

    def __init__(self, **changed: str) -> None:
        self._changed, self.asked = changed, {}

    def visit(self, address, redirect_uri, state):
        self.asked = query(address(redirect_uri))
        return redirect_uri, {**query(landing(address(redirect_uri))), **self._changed}


@pytest.fixture
def store(monkeypatch) -> Memory:
    made = Memory()
    monkeypatch.setattr(tokens, "_store", made)
    return made


@pytest.fixture
def sign_in(sandbox, monkeypatch) -> OAuth2:
    monkeypatch.setenv("SOURCES__OAUTH__CLIENT_ID", "sandbox-app")
    monkeypatch.setenv("SOURCES__OAUTH__CLIENT_SECRET", "sandbox-app-secret")
    return OAuth2("oauth", f"{sandbox.url}/oauth/authorize", f"{sandbox.url}/oauth/token", ("rows.read",))


@pytest.fixture
def signed_in(sign_in, store) -> OAuth2:
    keep(sign_in.login(Person()))
    return sign_in


def keep(token: Token, account: str = "") -> None:
    with tokens.exclusively("oauth", account) as kept:
        kept.write(token)


def spoil(**changes: Any) -> Token:
    """Change what is kept."""
    token = replace(tokens.read("oauth"), **changes)
    keep(token)
    return token


def rows(sign_in: OAuth2, sandbox, query: str = "", account: str = "") -> int:
    with http.open_session("oauth") as session:
        session.auth = sign_in.auth(account)
        return len(session.json(f"{sandbox.url}/oauth/rows{query}"))


def asked(sandbox, path: str) -> list[int]:
    return [seen.status for seen in sandbox.requests if seen.path.startswith(f"/oauth/{path}")]


@pytest.mark.parametrize("given", [None, "sandbox-app-secret", "another"])
def test_an_app_may_have_a_secret_or_none(sign_in, store, sandbox, monkeypatch, given):
    app = replace(sign_in, secret="if_set")
    assert (app.needs, app.takes) == ({"client_id": False}, {"client_secret": True})
    monkeypatch.delenv("SOURCES__OAUTH__CLIENT_SECRET")
    if given:
        monkeypatch.setenv("SOURCES__OAUTH__CLIENT_SECRET", given)
    if given == "another":
        with pytest.raises(BadSetting, match="does not know the app"):
            app.login(Person())
        return
    assert app.refreshed(app.login(Person())).access_token
    [sent, *_] = [seen.headers for seen in sandbox.requests if seen.path == "/oauth/token"]
    assert ("authorization" in sent) is bool(given)


@pytest.mark.parametrize("secret", ["none", "header", "body"])
def test_an_app_with_or_without_a_secret_signs_in_and_renews(sign_in, store, sandbox, secret):
    app = replace(sign_in, secret=secret, lasts=timedelta(days=9))
    person = Person()
    token = app.login(person)
    assert person.asked["scope"] == token.scope == "rows.read"
    assert timedelta(minutes=59) < token.expires_at - datetime.now(UTC) < timedelta(minutes=61)
    assert token.refresh_expires_at - token.obtained_at == timedelta(days=9)
    assert app.refreshed(token).refresh_expires_at == token.refresh_expires_at
    assert Token.of(token.content()) == token


@pytest.mark.parametrize(
    ("came_back", "error", "said"),
    [
        ({"state": "another"}, BadSetting, "belongs to another sign-in"),
        ({"code": "code-none"}, SignInNeeded, r"answered 400 \(invalid_grant\)"),
    ],
)
def test_a_person_who_comes_back_with_something_else_is_not_signed_in(sign_in, store, came_back, error, said):
    with pytest.raises(error, match=said):
        sign_in.login(Person(**came_back))


def test_a_person_who_refuses_is_not_signed_in(sign_in, store):
    with pytest.raises(SignInNeeded, match="not signed in: access_denied"):
        replace(sign_in, scopes=("denied",)).login(Person())


def test_without_a_sign_in_nothing_is_asked(sign_in, store, sandbox):
    with pytest.raises(SignInNeeded, match=r"^oauth \(anna\): nobody has signed in; sign in to oauth anna$"):
        rows(sign_in, sandbox, account="anna")
    assert sandbox.requests == []


def test_a_token_is_renewed_before_it_ends(signed_in, sandbox):
    before = spoil(expires_at=datetime.now(UTC) + timedelta(seconds=30))
    assert rows(signed_in, sandbox) == 20
    assert asked(sandbox, "rows") == [200]
    assert tokens.read("oauth").refresh_token != before.refresh_token


def test_a_token_that_ended_before_its_time_is_renewed_once(signed_in, sandbox):
    sandbox.move_to(2)
    assert rows(signed_in, sandbox) == 20
    assert asked(sandbox, "rows") == [401, 200]
    assert asked(sandbox, "token") == [200, 200]


def test_a_new_token_that_is_refused_too_needs_a_person(signed_in, sandbox):
    sandbox.fault("/rows", "401", times=2)
    with pytest.raises(SignInNeeded, match=r"GET http://.*/oauth/rows: answered 401 to a new token, too; sign in"):
        rows(signed_in, sandbox)
    assert asked(sandbox, "rows") == [401, 401]


def test_a_refusal_that_was_none_is_taken_back_by_the_first_good_answer(signed_in, sandbox):
    before = spoil(refused_at=datetime.now(UTC) - timedelta(days=1))
    sandbox.fault("/rows", "403", times=1)
    for refused_at in (before.refused_at, None):
        with contextlib.suppress(SourceError):
            rows(signed_in, sandbox)
        assert tokens.read("oauth") == replace(before, refused_at=refused_at)
    assert asked(sandbox, "token") == [200]


def test_who_must_sign_in_is_not_asked_for_twice(signed_in, sandbox):
    spoil(expires_at=datetime.now(UTC), refresh_token="gone")
    session = http.open_session("oauth")
    session.auth = signed_in.auth()
    for _ in range(2):
        with pytest.raises(SignInNeeded, match="invalid_grant"):
            session.json(f"{sandbox.url}/oauth/rows")
    assert asked(sandbox, "token") == [200, 400]


def test_a_sign_in_of_half_a_year_ago_needs_a_person(signed_in, sandbox):
    sandbox.move_to(182)
    with pytest.raises(
        SignInNeeded,
        match=r"\(invalid_grant\): the sign-in has ended, its newest .*withdrawn; sign in to oauth",
    ):
        rows(signed_in, sandbox)
    assert asked(sandbox, "token") == [200, 400]


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("429", TryLater, "answered 429 and is not repeated"),
        ("503", TryLater, "answered 503"),
        ("reset", TryLater, "the answer broke off|connection reset"),
        ("html", TryLater, "answered with a web page, not JSON"),
        ("401", BadSetting, "the upstream does not know the app; check client_id of"),
        ("403", SourceError, "answered 403; check redirect_uri"),
    ],
)
def test_a_token_endpoint_that_does_not_answer_is_asked_once(signed_in, sandbox, fault, error, said):
    before = spoil(access_token="")
    sandbox.fault("/token", fault)
    with pytest.raises(error, match=said):
        rows(signed_in, sandbox)
    assert len(asked(sandbox, "token")) == 2  # the first gave the token
    assert tokens.read("oauth") == before
    assert rows(signed_in, sandbox) == 20


@pytest.mark.parametrize(
    ("told", "error", "said"),
    [
        ({"error": "invalid_grant"}, SignInNeeded, "withdrawn"),
        ({"error": "invalid_client"}, BadSetting, "does not know the app"),
        ({"error": "temporarily_unavailable"}, TryLater, "run again later"),
        ({"error": "the-refresh-token"}, SourceError, "answered 200; check"),
        ({"error": ["odd"]}, SourceError, "answered 200; check"),
        (["odd"], SourceError, "answered 200; check"),
    ],
)
def test_an_error_with_status_200_is_one(sign_in, store, told, error, said):
    with serving(lambda _: reply(200, told)) as server, pytest.raises(error, match=said) as raised:
        replace(sign_in, token_url=server.url).refreshed(Token(refresh_token="the-refresh-token"))
    assert "the-refresh-token" not in str(raised.value)


@pytest.mark.parametrize(
    ("told", "refresh", "days"),
    [
        ({}, "the first", 3),
        ({"refresh_token": "the second"}, "the second", 3),
        ({"refresh_token": "the second", "refresh_token_expires_in": 864000}, "the second", 10),
        ({"expires_in": "odd", "user_id": "u-1"}, "the first", 3),
    ],
)
def test_what_an_upstream_does_not_tell_anew_stays(sign_in, store, told, refresh, days):
    ends = datetime.now(UTC) + timedelta(days=3, minutes=1)
    before = Token("old", "the first", refresh_expires_at=ends, scope="s", extra={"user_id": "u-0", "kept": 1})
    with serving(lambda _: reply(200, {"access_token": "new", **told})) as server:
        after = replace(sign_in, token_url=server.url).refreshed(before)
    assert (after.access_token, after.refresh_token, after.scope) == ("new", refresh, "s")
    assert (after.refresh_expires_at - datetime.now(UTC) + timedelta(minutes=2)).days == days
    assert after.extra == {"user_id": told.get("user_id", "u-0"), "kept": 1}


def test_an_upstream_without_refresh_tokens_needs_a_person_in_the_end(signed_in, sandbox):
    spoil(refresh_token=None, expires_at=datetime.now(UTC))
    with pytest.raises(SignInNeeded, match="the sign-in has ended"):
        rows(signed_in, sandbox)


def test_threads_that_meet_the_end_of_a_token_renew_it_once(signed_in, sandbox):
    sandbox.move_to(2)
    sandbox.fault("/token", "slow", seconds=0.2)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: rows(signed_in, sandbox), range(4))) == [20] * 4
    assert asked(sandbox, "token") == [200, 200]


def test_a_store_that_cannot_keep_the_new_token_is_told_of_before_it_is_used(signed_in, sandbox, monkeypatch):
    def full(*_: object) -> None:
        raise OSError("disk full")

    sandbox.move_to(2)
    sandbox.forget_requests()
    monkeypatch.setattr(tokens.Kept, "write", full)
    with pytest.raises(OSError, match="disk full"):
        rows(signed_in, sandbox)
    assert asked(sandbox, "rows") == [401]


def test_a_token_leaves_no_host_but_its_own(signed_in, sandbox):
    with serving(lambda _: reply(200, [])) as elsewhere:
        there = elsewhere.url.replace("127.0.0.1", "localhost")

        def lead_away(asked: Asked):
            return reply(302, b"", {"Location": f"{there}/rows"})

        with serving(lead_away) as here, http.open_session("oauth") as session:
            session.auth = signed_in.auth()
            session.json(f"{here.url}/rows")
    assert [("authorization" in one.headers) for one in (*here.asked, *elsewhere.asked)] == [True, False]


def test_a_page_elsewhere_is_not_signed_even_when_it_asks_for_it(signed_in, sandbox):
    with serving(lambda _: reply(401, {})) as elsewhere, http.open_session("oauth") as session:
        session.auth, session.origin = signed_in.auth(), "api.example.test"
        with pytest.raises(SignInNeeded):
            session.json(f"{elsewhere.url}/next")
    assert ["authorization" in one.headers for one in elsewhere.asked] == [False]
    assert asked(sandbox, "token") == [200]


def test_no_text_of_a_token_or_an_error_shows_it():
    token = Token("access-in-secret", "refresh/in secret", extra={"keys": ["a key of some length"], "short": "brief"})
    said = "access-in-secret refresh/in secret refresh%2Fin%20secret a key of some length brief"
    assert repr(token) == str(token) == "Token(…)"
    assert str(SourceError(f"x: {said}")) == "x: … … … … brief"


@pytest.mark.parametrize("account", ["../x", "a/b", ".hidden", "a b", "x" * 65])
def test_an_account_that_could_be_no_file_is_refused(store, account):
    with pytest.raises(BadSetting, match="use letters, digits"):
        tokens.read("oauth", account)


def test_content_that_is_no_token_is_told(store):
    store.kept["oauth", ""] = {"access_token": "x", "odd": 1}
    with pytest.raises(BadSetting, match="is no token; sign in again"):
        tokens.read("oauth")
