"""Signing in to Halo Waypoint: what Azure, Xbox Live and XSTS refuse, and tokens out of a browser."""

from __future__ import annotations

import json

import pytest

from sources.kit.errors import BadSetting
from sources.spnkr.sign_in import CLEARANCE, SPARTAN, pasted
from tests.scripted_server import Asked, reply, serving

AZURE = {
    "SPNKR_AZURE_CLIENT_ID": "app",
    "SPNKR_AZURE_CLIENT_SECRET": "a secret word",
    "SPNKR_OAUTH_REFRESH_TOKEN": "refresh-1",
}
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


def run(workspace, services, **variables):
    made = workspace("spnkr")
    with serving(services.answer) as server:
        made.point_at(
            {
                "sources.spnkr.base_url": f"{server.url}/{{host}}",
                "sources.spnkr.xbox_url": f"{server.url}/{{host}}",
                "sources.spnkr.token_url": f"{server.url}/live",
                "sources.spnkr.fallback_token_url": f"{server.url}/azure",
                "sources.spnkr.players": ["2533274800000001"],
            }
        )
        result = made.etl("run", "spnkr", "--env", "test", "--select", "match_history", **variables)
    return result, server.paths, made


@pytest.mark.parametrize("names", [AZURE, PLAIN], ids=["azure", "plain"])
def test_both_sets_of_names_sign_in(workspace, names):
    result, paths, made = run(workspace, Services(), **names)
    assert result.code == 0, result
    assert paths[:5] == ["/live", "/user/user/authenticate", "/xsts/xsts/authorize", "/settings/spartan-token",
                         "/settings/oban/flight-configurations/titles/hi/audiences/RETAIL/active"]  # fmt: skip
    kept = json.loads((made.root / ".dlt/tokens/test/spnkr.json").read_text())
    assert (kept["access_token"], kept["refresh_token"], kept["extra"]) == (
        "v4=made",
        "refresh-2",
        {CLEARANCE: "flight"},
    )


def test_an_app_that_one_endpoint_does_not_know_asks_the_other(workspace):
    services = Services("/live", 400, {"error": "invalid_client"})
    result, paths, _ = run(workspace, services, **PLAIN)
    assert (result.code, paths[:2]) == (0, ["/live", "/azure"]), result


@pytest.mark.parametrize(
    ("path", "status", "refusal", "code", "told"),
    [
        ("/live", 400, {"error": "invalid_grant"}, 6, "the sign-in has ended"),
        ("/live", 401, said("AADSTS7000215: Invalid client secret provided"), 2, "not its Secret ID"),
        ("/live", 400, said("The value for 'redirect_uri' is not valid"), 2, "redirect_uri is not among those"),
        ("/live", 400, said("The app is not enabled for consumers"), 2, "personal accounts"),
        ("/live", 503, {}, 5, "run again later"),
        ("/xsts", 401, {"XErr": 2148916233}, 6, "no Xbox profile"),
        ("/xsts", 401, {"XErr": 2148916235}, 6, "country"),
        ("/xsts", 401, {"XErr": 2148916238}, 6, "a child's"),
        ("/xsts", 401, {"XErr": 1}, 6, "XErr 1"),
        ("/settings/spartan", 200, {}, 1, "without SpartanToken"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(workspace, path, status, refusal, code, told):
    result, _, _ = run(workspace, Services(path, status, refusal), **PLAIN)
    assert result.code == code, result
    assert told in result.err, result.err
    assert "a secret word" not in result.err


def test_what_microsoft_gave_is_kept_before_it_is_used(workspace):
    """The refresh token rotates: killed or refused between the two, the next run still has the new one."""
    result, _, made = run(workspace, Services("/xsts", 503), **PLAIN)
    assert result.code == 5, result
    kept = json.loads((made.root / ".dlt/tokens/test/spnkr.json").read_text())
    assert kept["refresh_token"] == "refresh-2"
    again, paths, _ = run(workspace, Services(), **PLAIN)
    assert (again.code, paths[0]) == (0, "/live"), again


def test_a_token_out_of_a_browser_signs_until_it_ends(workspace):
    given = {"SPNKR_SPARTAN_TOKEN": "x-343-authorization-spartan: v4=pasted", "SPNKR_CLEARANCE_TOKEN": "flight"}
    result, paths, _ = run(workspace, Services(), **given)
    assert result.code == 0, result
    assert not [path for path in paths if path in ("/live", "/azure")]
    ended, _, _ = run(workspace, Services("/halostats", 401), **given)
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
