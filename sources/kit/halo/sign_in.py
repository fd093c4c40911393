"""How people sign in to Halo Waypoint: by an Azure app of theirs, and Xbox Live; then tokens renew themselves.

Each renewal takes five requests: Microsoft's token (whose refresh token rotates, and is kept before it is used), that
of Xbox Live, that of XSTS, the Spartan token, which lasts about four hours, and the clearance beside it.
Who has no app pastes `spartan_token` and `clearance_token` out of a browser, also as whole lines of a header.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any, ClassVar

from dlt.common.configuration import configspec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.typing import TSecretStrValue

from sources.kit import http, tokens
from sources.kit.errors import BadSetting, SignInNeeded, SourceError, TryLater
from sources.kit.oauth2 import App, AppWithSecret, OAuth2, SignedIn
from sources.kit.secrets import keep_out
from sources.kit.tokens import Kept, Person, Token

WAYPOINT = "https://{host}.svc.halowaypoint.com"
XBOX = "https://{host}.auth.xboxlive.com"
LIVE = "https://login.live.com/oauth20_token.srf"
AZURE = "https://login.microsoftonline.com/consumers/oauth2/v2.0/token"  # for apps that live.com does not know
RELYING_PARTY = "https://prod.xsts.halowaypoint.com/"
CLEARANCE_PATH = "/oban/flight-configurations/titles/hi/audiences/RETAIL/active"
GRANTED = "granted"
LASTS = timedelta(days=90)  # a refresh token of Microsoft, from its last use on
SPARTAN, CLEARANCE = "x-343-authorization-spartan", "343-clearance"
PASTED_SPARTAN = re.compile(r"v\d+=[^\s;,'\"]+")
PASTED_CLEARANCE = re.compile(rf"{CLEARANCE}\s*[:=]\s*([^\s;,'\"]+)", re.I)
REFUSALS = {  # XErr of XSTS
    2148916227: "Xbox has banned the account",
    2148916229: "its parents do not let the account play online; they change that at account.xbox.com",
    2148916233: "the Microsoft account has no Xbox profile; make one at xbox.com and sign in again",
    2148916234: "the account has not accepted Xbox's terms; sign in once at xbox.com",
    2148916235: "Xbox Live is not offered in the country of the account",
    2148916236: "the account must prove its age (South Korea); do so at xbox.com",
    2148916237: "the account must prove its age (South Korea); do so at xbox.com",
    2148916238: "the account is a child's; an adult must add it to a family at account.microsoft.com",
}
WORDS = {  # what Azure says of an app that is not set up as it must be
    "AADSTS7000215": "client_secret is not right: it is the Value of the secret, not its Secret ID",
    "AADSTS7000222": "client_secret has expired; make a new one in Azure, App registrations, Certificates & secrets",
    "AADSTS50011": "redirect_uri is not among those of the app; add it in Azure, App registrations, Authentication",
    "AADSTS700016": "client_id is of no app that Microsoft knows; it is the Application (client) ID",
    "not enabled for consumers": "the app is not for personal accounts; set signInAudience to one that has them",
    "client secret": "client_secret is not right: it is the Value of the secret, not its Secret ID",
    "redirect_uri": "redirect_uri is not among those of the app; add it in Azure, App registrations, Authentication",
}


@configspec
class AzureApp(AppWithSecret):
    """An app of Azure, and where Xbox Live and Waypoint are."""

    client_secret: TSecretStrValue = None  # type: ignore[assignment]
    fallback_token_url: str = AZURE
    xbox_url: str = XBOX
    base_url: str = WAYPOINT


class UnknownApp(BadSetting):
    """The token endpoint does not know the app; the other one may."""


@dataclass(frozen=True)
class WaypointSignIn(OAuth2):
    """The `SIGN_IN` of the source: its token is the Spartan token. `pasted` names the settings that will do as well."""

    pasted: ClassVar[tuple[str, ...]] = ("spartan_token", "clearance_token")

    def login(self, person: Person) -> Token:
        """Let a person sign in with a browser; the address they come back to is pasted."""
        return self.spartan(super().login(person))

    def signed(self, pasted: Token | None) -> Spartan:
        """Signs requests as whoever has signed in, or else with tokens that were pasted."""
        return Spartan(self, pasted)

    def refreshed(self, token: Token) -> Token:
        """Microsoft's next token; that of Waypoint is to be made of it, so it has none yet."""
        granted = super().refreshed(token)
        return replace(granted, access_token="", expires_at=None, extra={GRANTED: granted.access_token})

    def spartan(self, granted: Token) -> Token:
        """The Spartan token of Microsoft's token, whose refresh token goes with it."""
        app = self._app()
        with http.open_session(self.name, retry_post=True) as session:
            session.auth = _has_401s
            user = _asked(session, _at(app.xbox_url, "user", "/user/authenticate"), _user(granted.access_token))
            xsts = _asked(session, _at(app.xbox_url, "xsts", "/xsts/authorize"), _xsts(_text(user, "Token")))
            given = _asked(session, _at(app.base_url, "settings", "/spartan-token"), _proof(_text(xsts, "Token")))
            spartan = _text(given, "SpartanToken")
            keep_out(spartan)
            clearance = session.get(_at(app.base_url, "settings", CLEARANCE_PATH), headers={SPARTAN: spartan})
        return replace(
            granted,
            access_token=spartan,
            expires_at=_moment(given),
            refresh_expires_at=datetime.now(UTC) + LASTS,
            extra={CLEARANCE: _text(_told(clearance), "FlightConfigurationId")},
        )

    def _app(self) -> AzureApp:
        described = AzureApp(authorize_url=self.authorize_url, token_url=self.token_url, redirect_uri=self.redirect_uri)
        return resolve_configuration(described, sections=("sources", self.name))

    def _asked(self, app: App, grant: dict[str, str], before: Token | None) -> Token:
        try:
            return super()._asked(app, grant, before)
        except UnknownApp:
            other = copy(app)
            other.token_url = app.fallback_token_url  # type: ignore[attr-defined]
            return super()._asked(other, {**grant, "scope": " ".join(self.scopes)}, before)

    def _diagnosis(self, told: dict[str, Any]) -> SourceError | None:
        said = str(told.get("error_description", ""))
        kind = UnknownApp if told.get("error") in ("invalid_client", "unauthorized_client") else BadSetting
        meaning = next((meaning for words, meaning in WORDS.items() if words.lower() in said.lower()), None)
        if meaning is None and kind is UnknownApp:
            meaning = "Microsoft does not know the app; check client_id and client_secret"
        return kind(f"{self.name}: {meaning}; then: etl auth login {self.name}") if meaning else None


class Spartan(SignedIn):
    """Signs requests with a Spartan token and its clearance."""

    def __init__(self, sign_in: WaypointSignIn, pasted: Token | None) -> None:
        super().__init__(sign_in, "")
        self._waypoint, self._pasted = sign_in, pasted

    def token(self) -> Token:
        """That of whoever has signed in; one that was pasted where nobody has."""
        return self._pasted if self._pasted and self._nobody_has_signed_in else super().token()

    @cached_property
    def _nobody_has_signed_in(self) -> bool:
        return tokens.read(self._waypoint.name) is None

    def _signed(self, request: Any, token: Token) -> Any:
        request.headers.update(headers_of(token))
        http.at_401(request, self._ended if token is self._pasted else partial(self._again, token))
        return request

    def _ended(self, request: Any) -> bool:
        raise SignInNeeded(
            f"{self._waypoint.name}: {request.method} {http.shown(str(request.url))}: answered 401, spartan_token has "
            f"ended (it lasts four hours); paste a new one, or sign in: etl auth login {self._waypoint.name}"
        )

    def _renew(self, current: Token, kept: Kept) -> Token:
        granted = super()._renew(current, kept)  # keeps what Microsoft gave, before anything is asked with it
        new = self._waypoint.spartan(replace(granted, access_token=granted.extra[GRANTED]))
        kept.write(new)
        return new


def headers_of(token: Token) -> dict[str, str]:
    """What a request bears that is asked with a Spartan token."""
    return {SPARTAN: token.access_token, CLEARANCE: str(token.extra.get(CLEARANCE, ""))}


def pasted(spartan: str | None, clearance: str | None) -> Token | None:
    """Tokens as a person pasted them: bare, as `name: value`, or in a whole Cookie; None where there are none."""
    if not (spartan and clearance):
        return None
    found, flight = PASTED_SPARTAN.search(spartan), PASTED_CLEARANCE.search(clearance)
    if not found:
        raise BadSetting(f"spnkr: spartan_token: holds no v4=…; paste the value of the header {SPARTAN}")
    keep_out(found[0])
    return Token(access_token=found[0], extra={CLEARANCE: flight[1] if flight else clearance.strip()})


def _asked(session: http.Session, url: str, body: dict[str, Any]) -> dict[str, Any]:
    return _told(session.post(url, json=body, headers={"x-xbl-contract-version": "1"}, allow_redirects=False))


def _told(response: http.Response) -> dict[str, Any]:
    """What one of the services says; the error that tells what a person must do where it refuses."""
    told = http.document(response) if response.content else {}
    told = told if isinstance(told, dict) else {}
    if response.ok:
        return told
    where = f"spnkr: {response.request.method} {http.shown(response.url)}: answered {response.status_code}"
    if reason := REFUSALS.get(told.get("XErr", 0)):
        raise SignInNeeded(f"{where}: {reason}; then: etl auth login spnkr")
    if response.status_code in (400, 401, 403):
        code = f" (XErr {told['XErr']})" if "XErr" in told else ""
        raise SignInNeeded(f"{where}{code}: the sign-in is not accepted; sign in again: etl auth login spnkr")
    raise TryLater(f"{where}; run again later")


def _text(told: dict[str, Any], key: str) -> str:
    found = told.get(key)
    if not (isinstance(found, str) and found):
        raise SourceError(
            f"spnkr: the sign-in was answered without {key}; check base_url, the service may have changed"
        )
    return found


def _moment(told: dict[str, Any]) -> datetime | None:
    """When the Spartan token ends."""
    expires = told.get("ExpiresUtc")
    text = expires.get("ISO8601Date") if isinstance(expires, dict) else None
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _at(base: str, host: str, path: str) -> str:
    return base.rstrip("/").replace("{host}", host) + path


def _has_401s(request: Any) -> Any:
    """An auth that signs nothing: a 401 of XSTS tells why."""
    http.at_401(request, lambda _: False)
    return request


def _user(access: str) -> dict[str, Any]:
    ticket = {"AuthMethod": "RPS", "SiteName": "user.auth.xboxlive.com", "RpsTicket": f"d={access}"}
    return {"RelyingParty": "http://auth.xboxlive.com", "TokenType": "JWT", "Properties": ticket}


def _xsts(user: str) -> dict[str, Any]:
    properties = {"UserTokens": [user], "SandboxId": "RETAIL"}
    return {"RelyingParty": RELYING_PARTY, "TokenType": "JWT", "Properties": properties}


def _proof(xsts: str) -> dict[str, Any]:
    proof = [{"Token": xsts, "TokenType": "Xbox_XSTSv3"}]
    return {"Audience": "urn:343:s3:services", "MinVersion": "4", "Proof": proof}


SIGN_IN = WaypointSignIn(
    "spnkr",
    authorize_url="https://login.live.com/oauth20_authorize.srf",
    token_url=LIVE,
    scopes=("Xboxlive.signin", "Xboxlive.offline_access"),
    redirect_uri="https://localhost",
    secret="body",
)
