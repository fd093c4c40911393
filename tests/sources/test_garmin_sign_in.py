"""The first sign-in to Garmin by the real library against a loopback SSO, and how tokens follow each other."""

from __future__ import annotations

import base64
import json
import sys
from importlib.metadata import version
from io import StringIO

import pytest

from tests.clouds.gcs import GCS
from tests.scripted_server import Asked, reply, serving

SPOKEN = "0.3.2"
CODE = "123456"
EXPIRES = 4_102_444_800
BEARER = ".".join(
    base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
    for part in ({}, {"exp": EXPIRES, "client_id": "APP"}, {})
)


class Sso:
    """Asks for a code, then gives a ticket, for which there is a token."""

    def __init__(self, status: int = 200, answer: str = "MFA_REQUIRED") -> None:
        self.status, self.username = status, ""
        self.first: object = {"responseStatus": {"type": answer}}

    def answer(self, asked: Asked):
        path = asked.path.partition("?")[0]
        if path == "/mobile/api/login":
            self.username = json.loads(asked.body)["username"]
            return reply(self.status, self.first)
        if path.endswith("/mfa/verifyCode"):
            right = json.loads(asked.body)["mfaVerificationCode"] == CODE
            return reply(200, {"responseStatus": {"type": "SUCCESSFUL" if right else "NO"}, "serviceTicketId": "ST-1"})
        if path == "/token" and b"service_ticket=ST-1" in asked.body:
            return reply(200, {"access_token": BEARER, "refresh_token": "refresh-1", "expires_in": 60_000})
        return reply(404, {})


@pytest.fixture
def login(workspace, monkeypatch):
    """`etl auth login garmin` against a server, with what a person answers."""
    garmin = pytest.importorskip("garminconnect.client", reason="garminconnect is not installed")
    if version("garminconnect") != SPOKEN:
        pytest.skip(f"the SSO of this test is asked as garminconnect {SPOKEN} does, the newest for Python 3.11")
    made, begin = workspace("garmin"), garmin.Client.__init__

    def sign_in(sso: Sso, typed: str, **variables: str):
        with serving(sso.answer) as server:

            def begun(client, *given, **named):
                begin(client, *given, **named)
                client._sso = client._connect = server.url

            monkeypatch.setattr(garmin.Client, "__init__", begun)
            monkeypatch.setattr(garmin, "DI_TOKEN_URL", f"{server.url}/token")
            monkeypatch.setattr(sys, "stdin", StringIO(typed))
            return (
                made.etl("auth", "login", "garmin", "--account", "me", "--env", "test", **variables),
                server.paths,
                made,
            )

    return sign_in


@pytest.mark.parametrize(
    ("typed", "variables"),
    [
        (f"ada@example.org\na secret word\n{CODE}\n", {}),
        (f"{CODE}\n", {"GARMIN_USERNAME": "ada@example.org", "GARMIN_PASSWORD": "a secret word"}),
        (
            f"{CODE}\n",
            {
                "GARMIN_USERNAME": "eve@example.org",
                "SOURCES__GARMIN__ME__USERNAME": "ada@example.org",
                "SOURCES__GARMIN__ME__PASSWORD": "a secret word",
            },
        ),
    ],
)
def test_a_person_signs_in_with_a_code(login, typed, variables):
    sso = Sso()
    result, _, made = login(sso, typed, **variables)
    assert (result.code, sso.username) == (0, "ada@example.org"), result
    assert "a secret word" not in result.out + result.err
    kept = json.loads((made.root / ".dlt/tokens/test/garmin.me.json").read_text())
    assert (kept["access_token"], kept["refresh_token"], kept["extra"]) == (BEARER, "refresh-1", {"client_id": "APP"})
    assert kept["expires_at"] == "2100-01-01T00:00:00+00:00"
    status = made.etl("auth", "status", "garmin", "--env", "test", "--output", "json")
    assert [(one["account"], one["signed_in"]) for one in status.json] == [("me", True)]


@pytest.mark.parametrize(
    ("sso", "said"),
    [
        (Sso(status=429), "wait a day"),
        (Sso(answer="INVALID_USERNAME_PASSWORD"), "not right"),
    ],
)
def test_a_refused_login_is_not_repeated(login, sso, said):
    result, paths, _ = login(sso, "ada@example.org\na secret word\n")
    assert (result.code, sum("api/login" in path for path in paths)) == (6, 1), result
    assert said in result.err


def test_a_login_that_is_limited_as_recorded_is_not_repeated(login, payloads):
    """Nor is a renewal; the next run goes on with the same sign-in."""
    told, sso = json.loads((payloads / "errors/garmin_429_login.json").read_text()), Sso(status=429)
    sso.first = told["body"].encode()
    result, paths, made = login(sso, "ada@example.org\na secret word\n")
    assert (result.code, sum("api/login" in path for path in paths)) == (6, 1), result
    limited = [True]

    def answer(asked: Asked):
        if asked.path == "/token":
            again = {"access_token": BEARER, "refresh_token": "refresh-2"}
            return reply(429, sso.first, told["headers"]) if limited[0] else reply(200, again)
        return reply(200, {"displayName": "x"} if asked.path.endswith("Profile") else b"null")

    made.point_at({"sources.garmin.begin": "2024-02-29"})
    some = ("run", "garmin", "--env", "test", "--select", "stress", "--until", "2024-03-01")
    token = json.dumps({"access_token": BEARER, "refresh_token": "refresh-1", "expires_at": "2024-01-01T00:00:00Z"})
    with serving(answer) as server:
        given = {"SOURCES__GARMIN__BASE_URL": server.url, "SOURCES__GARMIN__TOKEN_URL": f"{server.url}/token",
                 "SOURCES__GARMIN__ME__TOKEN": token}  # fmt: skip
        refused = made.etl(*some, **given)
        assert (refused.code, server.paths) == (5, ["/token"]), refused
        limited.clear()
        limited.append(False)
        assert made.etl(*some, **given).code == 0


CLOUD = """
[cloud.warehouse]
destination_type = "duckdb"
[cloud.landing]
destination_type = "filesystem"
bucket_url = "gs://lake/raw"
"""
THEIRS = {"di_token": "access-1", "di_refresh_token": "refresh-1", "di_client_id": "APP"}


def test_a_sign_in_begins_with_what_another_program_keeps_in_a_bucket(workspace):
    """It is renewed as their app, and from then on kept here."""
    made = workspace("garmin")
    made.write("destinations.toml", CLOUD)

    def answer(asked: Asked):
        if asked.path == "/token":
            is_theirs = all(word in asked.body for word in (b"refresh_token=refresh-1", b"client_id=APP"))
            again = {"access_token": "access-2", "refresh_token": "refresh-2"}
            return reply(200, again) if is_theirs else reply(400, {"error": "invalid_grant"})
        if asked.headers["authorization"] != "Bearer access-2":
            return reply(401, {})
        return reply(200, {"displayName": "x"} if asked.path.endswith("Profile") else b"null")

    with GCS("lake") as cloud, serving(answer) as server:
        cloud.buckets.put("lake", "old/garmin_tokens.json", json.dumps(THEIRS).encode(), "application/json")
        given = {
            **cloud.variables("landing"),
            "GARMIN_TOKENSTORE_GCS": "gs://lake/old",
            "SOURCES__GARMIN__BASE_URL": server.url,
            "SOURCES__GARMIN__TOKEN_URL": f"{server.url}/token",
        }
        some = ("--select", "stress", "--since", "2024-02-29", "--until", "2024-03-01")
        result = made.etl("run", "garmin", "--env", "cloud", *some, **given)
    assert result.code == 0, result
    kept = json.loads((made.root / ".dlt/tokens/cloud/garmin.me.json").read_text())
    assert (kept["refresh_token"], kept["extra"]) == ("refresh-2", {"client_id": "APP"})


@pytest.mark.parametrize(
    ("given", "accounts", "code", "said"),
    [
        (json.dumps(THEIRS), '["me"]', 0, "settings, as nothing is kept yet"),
        ("theirs/garmin_tokens.json", '["me"]', 0, "signed in"),
        ("theirs", '["me"]', 0, "signed in"),
        ("theirs", '["me", "you"]', 6, "nobody has signed in"),
        ("nowhere", '["me"]', 2, "sources.garmin.tokenstore: is not there; mend it, or sign in: etl auth login garmin"),
        ("{}", '["me"]', 2, "sources.garmin.tokenstore: holds no tokens of garminconnect; "),
        (" ", '["me"]', 6, "nobody has signed in"),
        ("gs://lake/old", '["me"]', 2, "tokenstore gs://lake/old: no bucket of [test] is gs://"),
    ],
)
def test_tokens_that_another_program_keeps(workspace, given, accounts, code, said):
    made = workspace("garmin")
    made.write("theirs/garmin_tokens.json", json.dumps(THEIRS))
    result = made.etl(
        "auth", "status", "garmin", "--env", "test", GARMINTOKENS=given, SOURCES__GARMIN__ACCOUNTS=accounts
    )
    assert (result.code, said in result.out + result.err) == (code, True), result
