"""Signing in to Halo Waypoint: what Azure, Xbox Live and XSTS refuse, and tokens out of a browser."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sources.kit.errors import BadSetting, SourceError
from sources.kit.halo.sign_in import CLEARANCE, SIGN_IN, SPARTAN, pasted
from sources.kit.tokens import Token
from tests.scripted_server import Asked, reply, serving

AZURE = {
    "SPNKR_AZURE_CLIENT_ID": "app",
    "SPNKR_AZURE_CLIENT_SECRET": "a secret word",
    "SPNKR_OAUTH_REFRESH_TOKEN": "refresh-1",
}
APP = {"SOURCES__SPNKR__CLIENT_ID": "app", "SOURCES__SPNKR__CLIENT_SECRET": "a secret word"}
PLAIN = {"SPNKR_CLIENT_ID": "app", "SPNKR_CLIENT_SECRET": "a secret word", "SPNKR_REFRESH_TOKEN": "refresh-1"}


class Services:
    """Microsoft, Xbox Live and Waypoint, of which one may refuse; nobody has a match."""

    def __init__(self, path: str = "", status: int = 400, refusal: dict | None = None) -> None:
        self.path, self.status, self.refusal = path, status, refusal

    def answer(self, asked: Asked):
        path = asked.path.partition("?")[0]
        if self.path and path.startswith(self.path):
            return reply(self.status, self.refusal or {})
        answers = {
            "/live": {"access_token": "access-1", "refresh_token": "refresh-2", "expires_in": 3600},
            "/azure": {"access_token": "access-2", "refresh_token": "refresh-3", "expires_in": 3600},
            "/user/user/authenticate": {"Token": "user"},
            "/xsts/xsts/authorize": {"Token": "xsts"},
            "/settings/spartan-token": {
                "SpartanToken": "v4=made", "ExpiresUtc": {"ISO8601Date": "2999-01-27T05:03:47Z"},
            },
        }  # fmt: skip
        if path in answers:
            return reply(200, answers[path])
        if path.endswith("/active"):
            return reply(200, {"FlightConfigurationId": "flight"})
        signed = asked.headers.get(SPARTAN) in ("v4=made", "v4=pasted") and asked.headers.get(CLEARANCE) == "flight"
        counts = {"MatchesPlayedCount": 0}
        return reply(200, counts if path.endswith("/count") else {"Results": []}) if signed else reply(401, {})


def said(description: str) -> dict[str, str]:
    return {"error": "invalid_request", "error_description": description}


def run(made, services, **variables):
    with serving(services.answer) as server:
        settings = {**addresses(server), "SPNKR_PLAYER": "2533274800000001", **variables}
        result = made.etl("run", "spnkr", "--env", "test", "--select", "match_history", **settings)
    return result, server.paths


def addresses(server):
    told = {"base_url": "/{host}", "xbox_url": "/{host}", "token_url": "/live", "fallback_token_url": "/azure"}
    quick = {"http__max_attempts": "1", "http__backoff_seconds": "0.01"}
    found = {**{name: f"{server.url}{path}" for name, path in told.items()}, **quick}
    return {f"SOURCES__SPNKR__{name}".upper(): value for name, value in found.items()}


@pytest.fixture
def made(workspace):
    """A workspace with the spec and without its models."""
    site = workspace("spnkr")
    (site.root / "models" / "spnkr").unlink()
    return site


@pytest.mark.parametrize("names", [AZURE, PLAIN], ids=["azure", "plain"])
def test_both_sets_of_names_sign_in(made, names):
    """Also from `.env.local`, where the original kept them."""
    made.write(".env.local", "".join(f"{name}='{value}'\n" for name, value in names.items()))
    result, paths = run(made, Services())
    assert result.code == 0, result
    assert paths[:5] == ["/live", "/user/user/authenticate", "/xsts/xsts/authorize", "/settings/spartan-token",
                         "/settings/oban/flight-configurations/titles/hi/audiences/RETAIL/active"]  # fmt: skip
    kept = json.loads((made.root / ".dlt/tokens/test/spnkr.json").read_text())
    assert (kept["access_token"], kept["refresh_token"], kept["extra"]) == (
        "v4=made",
        "refresh-2",
        {CLEARANCE: "flight"},
    )


def renewed(services, monkeypatch):
    """A Spartan token for a refresh token, and what was asked."""
    with serving(services.answer) as server:
        for name, value in {**addresses(server), **APP}.items():
            monkeypatch.setenv(name, value)
        granted = SIGN_IN.refreshed(Token(refresh_token="refresh-1"))
        return SIGN_IN.spartan(replace(granted, access_token=granted.extra["granted"])), server.paths


def test_an_app_that_one_endpoint_does_not_know_asks_the_other(monkeypatch):
    token, paths = renewed(Services("/live", 400, {"error": "invalid_client"}), monkeypatch)
    assert (token.access_token, token.refresh_token, paths[:2]) == ("v4=made", "refresh-3", ["/live", "/azure"])


@pytest.mark.parametrize(
    ("path", "status", "refusal", "kind", "told"),
    [
        ("/live", 400, {"error": "invalid_grant"}, "sign_in", "the sign-in has ended"),
        ("/live", 401, said("AADSTS7000215: Invalid client secret provided"), "usage", "not its Secret ID"),
        ("/live", 400, said("The value for 'redirect_uri' is not valid"), "usage", "redirect_uri is not among those"),
        ("/live", 400, said("The app is not enabled for consumers"), "usage", "personal accounts"),
        ("/live", 503, {}, "temporary", "run again later"),
        ("/xsts", 401, {"XErr": 2148916233}, "sign_in", "no Xbox profile"),
        ("/xsts", 401, {"XErr": 2148916235}, "sign_in", "country"),
        ("/xsts", 401, {"XErr": 2148916238}, "sign_in", "a child's"),
        ("/xsts", 401, {"XErr": 1}, "sign_in", "XErr 1"),
        ("/settings/spartan", 200, {}, "failed", "without SpartanToken"),
    ],
)
def test_a_refusal_says_what_to_do(monkeypatch, path, status, refusal, kind, told):
    with pytest.raises(SourceError) as refused:
        renewed(Services(path, status, refusal), monkeypatch)
    assert (refused.value.kind, "a secret word" in str(refused.value)) == (kind, False)
    assert told in str(refused.value)
    assert str(refused.value).startswith("spnkr: ")


def test_what_microsoft_gave_is_kept_before_it_is_used(made):
    """The refresh token rotates: killed or refused between the two, the next run still has the new one."""
    result, _ = run(made, Services("/xsts", 503), **PLAIN)
    assert result.code == 5, result
    kept = json.loads((made.root / ".dlt/tokens/test/spnkr.json").read_text())
    assert kept["refresh_token"] == "refresh-2"
    again, paths = run(made, Services(), **PLAIN)
    assert (again.code, paths[0]) == (0, "/live"), again


def test_a_token_out_of_a_browser_signs_until_it_ends(made):
    given = {"SPNKR_SPARTAN_TOKEN": "x-343-authorization-spartan: v4=pasted", "SPNKR_CLEARANCE_TOKEN": "flight"}
    result, paths = run(made, Services(), **given)
    assert result.code == 0, result
    assert not [path for path in paths if path in ("/live", "/azure")]
    status = ("auth", "status", "spnkr", "--env", "test", "--output", "json")
    (standing,) = (told := made.etl(*status, **given)).json
    assert (told.code, standing["kept_in"], standing["signed_in"]) == (0, "settings, as nothing is kept yet", True)
    assert made.etl(*status, SPNKR_SPARTAN_TOKEN="v4=alone", SOURCES__SPNKR__CLEARANCE_TOKEN="").code == 6
    ended, _ = run(made, Services("/halostats", 401), **given)
    assert (ended.code, ended.err.count("\n")) == (6, 1)
    assert "lasts four hours" in ended.err


@pytest.mark.parametrize(
    ("spartan", "clearance"),
    [
        ("v4=abc", "fl"),
        ("x-343-authorization-spartan: v4=abc", "343-clearance: fl"),
        ("Cookie: a=b; x-343-authorization-spartan=v4=abc; c=d", "Cookie: a=b; 343-clearance=fl; c=d"),
        ('"v4=abc"', " fl "),
    ],
)
def test_tokens_may_be_pasted_as_whole_lines(spartan, clearance):
    token = pasted(spartan, clearance)
    assert (token.access_token, token.extra) == ("v4=abc", {CLEARANCE: "fl"})


def test_what_holds_no_token_is_refused():
    assert pasted("", None) is None
    with pytest.raises(BadSetting, match=r"no v4=…"):
        pasted("hello", "flight")
