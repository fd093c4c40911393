"""The sandbox's authorization server is as strict as the strictest of the real ones."""

from __future__ import annotations

import base64
import hashlib

import pytest

from sandbox.oauth import CLIENT, SECRET
from tests.signed_in import query

VERIFIER = "a verifier"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
HOME = "http://127.0.0.1:1/back?app=1"
ASKED = {
    "response_type": "code",
    "client_id": CLIENT,
    "redirect_uri": HOME,
    "state": "s",
    "scope": "rows.read",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@pytest.fixture
def post(sandbox, client):
    return lambda path, form, **options: client.post(f"{sandbox.url}/oauth/{path}", form, timeout=10, **options)


@pytest.fixture
def code(get):
    """Ask for a code, with changes."""

    def ask(**changes):
        reply = get("/oauth/authorize", params={**ASKED, **changes}, allow_redirects=False)
        return query(reply.headers["Location"]) if reply.status_code == 302 else reply.status_code

    return ask


def by_code(given, **changes):
    proof = {"code": given, "redirect_uri": HOME, "code_verifier": VERIFIER}
    return {"grant_type": "authorization_code", "client_id": CLIENT, **proof, **changes}


def by_refresh(token):
    return {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": token}


def bearer(token):
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"client_id": "another"}, 400),
        ({"scope": "denied"}, {"app": "1", "error": "access_denied", "state": "s"}),
        ({"code_challenge_method": "plain"}, {"app": "1", "error": "invalid_request", "state": "s"}),
    ],
)
def test_who_may_not_sign_in_gets_no_code(code, changes, answer):
    assert code(**changes) == answer


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code_verifier": "another"}, 400, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:2"}, 400, "invalid_grant"),
        ({"code": "another"}, 400, "invalid_grant"),
        ({"client_id": "another"}, 401, "invalid_client"),
        ({"client_secret": "another"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_code_is_for_who_asked_for_it(code, post, changes, status, error):
    reply = post("token", by_code(code()["code"], **changes))
    assert (reply.status_code, reply.json()["error"]) == (status, error)


def test_a_code_works_once_and_a_refresh_token_used_twice_ends_the_sign_in(code, post, get):
    form = by_code(code()["code"])
    first = post("token", form, auth=(CLIENT, SECRET)).json()
    assert post("token", form).status_code == 400
    second = post("token", by_refresh(first["refresh_token"])).json()
    assert get("/oauth/rows", **bearer(first["access_token"])).status_code == 401
    assert len(get("/oauth/rows", **bearer(second["access_token"])).json()) == 100
    assert post("token", by_refresh(first["refresh_token"])).status_code == 400
    assert post("token", by_refresh(second["refresh_token"])).status_code == 400
    assert get("/oauth/rows", **bearer(second["access_token"])).status_code == 401


def test_tokens_end_by_the_clock_of_the_sandbox_and_when_they_are_withdrawn(sandbox, code, post, get):
    tokens = post("token", by_code(code()["code"])).json()
    assert get("/oauth/rows", **bearer(tokens["access_token"])).status_code == 200
    sandbox.move_to(2)
    assert get("/oauth/rows", **bearer(tokens["access_token"])).status_code == 401
    tokens = post("token", by_refresh(tokens["refresh_token"])).json()
    assert get("/oauth/rows?once=1", **bearer(tokens["access_token"])).status_code == 200
    assert get("/oauth/rows", **bearer(tokens["access_token"])).status_code == 401
    sandbox.move_to(181)
    assert post("token", by_refresh(tokens["refresh_token"])).status_code == 400
    tokens = post("token", by_code(code()["code"])).json()
    assert post("revoke", {"token": tokens["refresh_token"]}).status_code == 200
    assert get("/oauth/rows", **bearer(tokens["access_token"])).status_code == 401
    assert get("/oauth/nothing").status_code == 404
