"""OAuth 2: a person signs in once (RFC 6749 with PKCE, RFC 7636); from then on tokens renew themselves.

`client_id`, and `client_secret` of an app that has one, come from `[sources.<name>]`, as do other addresses than the
described ones. A token endpoint is asked once and not again: it may have given the new token away. Its 429 and 5xx
are `TryLater`; a grant it does not know any more is `SignInNeeded`; an app it does not know is `BadSetting`.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from secrets import token_urlsafe
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from dlt.common.configuration import configspec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.typing import TSecretStrValue
from requests import PreparedRequest
from requests.auth import AuthBase, HTTPBasicAuth

from sources.kit import http, tokens
from sources.kit.errors import BadSetting, SignInNeeded, SourceError, TryLater
from sources.kit.secrets import keep_out
from sources.kit.tokens import Person, Token

ENDED = {"invalid_grant", "access_denied", "consent_required", "interaction_required", "login_required"}
UNKNOWN_APP = {"invalid_client", "unauthorized_client"}
PASSING = {"temporarily_unavailable", "server_error", "slow_down"}
WRONG = {"invalid_request", "invalid_scope", "unsupported_grant_type", "unsupported_response_type"}
LIFETIMES = ("refresh_token_expires_in", "refresh_expires_in")  # of GitHub, of Keycloak
SENDABLE = re.compile("[!-~]([ -~]*[!-~])?")
OURS = {"access_token", "refresh_token", "expires_in", "scope", "token_type", *LIFETIMES}


@configspec
class App(BaseConfiguration):
    """An app as it is registered with the upstream, and where that is asked."""

    client_id: str = None  # type: ignore[assignment]
    authorize_url: str = None  # type: ignore[assignment]
    token_url: str = None  # type: ignore[assignment]
    redirect_uri: str = "http://127.0.0.1"


@configspec
class AppWithSecret(App):
    """One that keeps a secret."""

    client_secret: TSecretStrValue = None  # type: ignore[assignment]


@configspec
class AppPerhapsWithSecret(App):
    """One that may be used with a secret or without, as whoever registered it has chosen."""

    client_secret: TSecretStrValue | None = None


KINDS = {"none": App, "if_set": AppPerhapsWithSecret, "header": AppWithSecret, "body": AppWithSecret}


@dataclass(frozen=True)
class OAuth2:
    """How people sign in to a system: the `SIGN_IN` of a source.

    The app's registered `redirect_uri` is served here when it is on loopback (without a port: a free one), else its
    address is pasted. `lasts` is how long a sign-in holds where the upstream does not tell. `secret` is where an app
    that has one sends it, `header` or `body`; `if_set` is for apps of either kind, in the header where there is one.
    """

    name: str
    authorize_url: str
    token_url: str
    scopes: tuple[str, ...] = ()
    redirect_uri: str = "http://127.0.0.1"
    lasts: timedelta | None = None
    secret: Literal["none", "if_set", "header", "body"] = "none"

    @property
    def needs(self) -> dict[str, bool]:
        """The settings of the app, each with whether it is secret."""
        has_secret = KINDS[self.secret] is AppWithSecret
        return {"client_id": False, "client_secret": True} if has_secret else {"client_id": False}

    @property
    def takes(self) -> dict[str, bool]:
        """Those that an app may have, or not."""
        return {"client_secret": True} if self.secret == "if_set" else {}

    def auth(self, account: str = "") -> SignedIn:
        """Signs the requests of a session as this account: `session.auth = SIGN_IN.auth(account)`."""
        return SignedIn(self, tokens.checked(account))

    def login(self, person: Person) -> Token:
        """Let a person sign in with a browser."""
        app, state, verifier = self._app(), token_urlsafe(24), token_urlsafe(64)

        def address(redirect_uri: str) -> str:
            challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
            asked = {
                "response_type": "code", "client_id": app.client_id, "redirect_uri": redirect_uri,
                "scope": " ".join(self.scopes), "state": state,
                "code_challenge": challenge, "code_challenge_method": "S256",
            }  # fmt: skip
            separator = "&" if urlsplit(app.authorize_url).query else "?"
            return f"{app.authorize_url}{separator}{urlencode({k: v for k, v in asked.items() if v})}"

        redirect_uri, answer = person.visit(address, app.redirect_uri, state)
        keep_out(answer.get("code"))
        grant = {"code": self._code(answer, state), "redirect_uri": redirect_uri, "code_verifier": verifier}
        return self._asked(app, {"grant_type": "authorization_code", **grant}, None)

    def refreshed(self, token: Token) -> Token:
        """The token that follows; a rotating upstream takes the old one no more."""
        grant = {"grant_type": "refresh_token", "refresh_token": str(token.refresh_token)}
        return self._asked(self._app(), grant, token)

    def _app(self) -> App:
        described = KINDS[self.secret](
            authorize_url=self.authorize_url, token_url=self.token_url, redirect_uri=self.redirect_uri
        )
        return resolve_configuration(described, sections=("sources", self.name))

    def _code(self, answer: dict[str, str], state: str) -> str:
        """The code a person came back with; a code alone was pasted, and PKCE ties that to this sign-in."""
        if "state" in answer and answer["state"] != state:
            raise BadSetting(f"{self.name}: the address belongs to another sign-in; start again: etl auth login")
        if "code" not in answer:
            told = _known(answer.get("error")) or "no code came back"
            raise SignInNeeded(f"{self.name}: not signed in: {told}; start again: etl auth login {self.name}")
        return answer["code"]

    def _asked(self, app: App, grant: dict[str, str], before: Token | None) -> Token:
        with http.open_session(self.name) as session:
            patience = min(session.settings.deadline_seconds, tokens.RENEWAL_SECONDS)
            session.settings.deadline_seconds = patience
            client = _Client(app, self.secret)
            response = session.post(app.token_url, {**grant, **client.form}, auth=client, allow_redirects=False)
        told = _document(response)
        if not (response.ok and _bears_token(told)):
            raise self._diagnosis(told) or self._refusal(response.status_code, _known(told.get("error")), app)
        return self._token(told, before)

    def _diagnosis(self, told: dict[str, Any]) -> SourceError | None:
        """What the upstream's own words mean, for a source that knows them; they are not to be repeated."""
        return None

    def _refusal(self, status: int, error: str, app: App) -> SourceError:
        where = f"{self.name}: POST {http.shown(app.token_url)}: answered {status}{f' ({error})' if error else ''}"
        if error in ENDED:
            lost = "its newest token was lost with a run that was killed"
            return SignInNeeded(f"{where}: the sign-in has ended, {lost}, or it was withdrawn")
        if error in UNKNOWN_APP or status == 401:
            app_settings = f"{' and '.join(self.needs)} of [sources.{self.name}]"
            return BadSetting(f"{where}: the upstream does not know the app; check {app_settings}")
        if error in PASSING:
            return TryLater(f"{where}; run again later")
        return SourceError(f"{where}; check redirect_uri and scopes of the app, and whether the upstream has changed")

    def _token(self, told: dict[str, Any], before: Token | None) -> Token:
        now = datetime.now(UTC)
        lifetime = next((told[key] for key in LIFETIMES if key in told), None)
        ends = before.refresh_expires_at if before else now + self.lasts if self.lasts else None
        return Token(
            access_token=told["access_token"],
            refresh_token=told.get("refresh_token") or (before.refresh_token if before else None),
            expires_at=_after(now, told.get("expires_in")),
            refresh_expires_at=_after(now, lifetime) or ends,
            scope=told.get("scope") or (before.scope if before else None),
            obtained_at=now,
            extra={**(before.extra if before else {}), **{k: v for k, v in told.items() if k not in OURS}},
        )


class SignedIn(AuthBase):
    """Signs requests with the token of one account: renewed before it ends, and once when a request meets a 401."""

    def __init__(self, sign_in: OAuth2, account: str) -> None:
        self._sign_in, self._account = sign_in, account
        self._token: Token | None = None
        self._obtained: Token | None = None  # the last that this object, and nobody else, has asked for
        self._needs = ""  # why a person must sign in, once that is known: nobody is asked again
        self._one_at_a_time = Lock()

    def __deepcopy__(self, memo: dict[int, Any]) -> SignedIn:
        return self  # dlt copies what is under rest:, its session too, to look at it

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request."""
        return self._signed(request, self.token())

    def _signed(self, request: PreparedRequest, token: Token) -> PreparedRequest:
        request.headers["Authorization"] = f"Bearer {token.access_token}"
        http.at_401(request, partial(self._again, token))
        if token.refused_at:
            request.register_hook("response", self._answered)
        return request

    def _answered(self, response: http.Response, **_: Any) -> None:
        """Take a refusal back that an answer to the same token has proved wrong."""
        if not response.ok or response.is_redirect or "Authorization" not in response.request.headers:
            return
        with self._one_at_a_time:
            if self._token is not None and self._token.refused_at:
                self._token = self._accepted(self._token)

    def _accepted(self, used: Token) -> Token:
        with tokens.exclusively(self._sign_in.name, self._account) as kept:
            if kept.read() == used:
                kept.write(replace(used, refused_at=None))
        return replace(used, refused_at=None)

    def _again(self, used: Token, request: PreparedRequest) -> bool:
        """Sign a request that was refused anew; what another process has renewed may be of no use any more, too."""
        token = self.renewed(used)
        self._signed(request, token)
        if token is self._obtained:
            http.at_401(request, self._refused)
        return True

    def token(self) -> Token:
        """A token that has not ended; SignInNeeded when nobody has signed in, or must do so again."""
        with self._one_at_a_time:
            self._stop_if_known()
            known = self._token or tokens.read(self._sign_in.name, self._account)
            if known is None:
                raise self._needed("nobody has signed in")
            self._token = self._exchanged(known) if known.has_ended else known
            return self._token

    def renewed(self, used: Token) -> Token:
        """The token that takes the place of one which the upstream has refused."""
        with self._one_at_a_time:
            self._stop_if_known()
            if self._token is None or self._token.access_token == used.access_token:
                self._token = self._exchanged(used)
            return self._token

    def _exchanged(self, used: Token) -> Token:
        """What follows a token that is still the one kept; another process may have been quicker."""
        with tokens.exclusively(self._sign_in.name, self._account) as kept:
            current = kept.read()
            if current is None:
                raise self._needed("nobody is signed in any more")
            if current.access_token != used.access_token and not current.has_ended:
                return current
            if not current.refresh_token:
                raise self._needed("the sign-in has ended")
            with ThreadPoolExecutor(1, "tokens") as thread:
                self._obtained = _ended(thread.submit(self._renew, current, kept))
            return self._obtained

    def _renew(self, current: Token, kept: tokens.Kept) -> Token:
        try:
            new = self._sign_in.refreshed(current)
        except SignInNeeded as ended:
            kept.write(replace(current, refused_at=datetime.now(UTC)))
            raise self._needed(str(ended).removeprefix(f"{self._sign_in.name}: ")) from None
        kept.write(new)
        return new

    def _refused(self, request: PreparedRequest) -> bool:
        raise self._needed(f"{request.method} {http.shown(str(request.url))}: answered 401 to a new token, too")

    def _needed(self, why: str) -> SignInNeeded:
        needed = tokens.sign_in_needed(self._sign_in.name, self._account, why)
        self._needs = str(needed)
        return needed

    def _stop_if_known(self) -> None:
        if self._needs:
            raise SignInNeeded(self._needs)


class _Client(AuthBase):
    """How an app names itself to the token endpoint; a 401 is an answer there, and tells why."""

    def __init__(self, app: App, secret: str) -> None:
        self._id, self._secret = app.client_id, str(getattr(app, "client_secret", None) or "")
        self._place = secret if secret != "if_set" else "header" if self._secret else "none"
        keep_out(self._secret)

    @property
    def form(self) -> dict[str, str]:
        """What the body says of the app."""
        secret = {"client_secret": self._secret} if self._place == "body" else {}
        return {} if self._place == "header" else {"client_id": self._id, **secret}

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        http.at_401(request, lambda _: False)
        return HTTPBasicAuth(self._id, self._secret)(request) if self._place == "header" else request


def _document(response: http.Response) -> dict[str, Any]:
    try:
        told = http.document(response)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _ended(renewal: Future[Token]) -> Token:
    """What comes of it; signals wait for that, however many: the old token is spent, and a cancelled job sends two."""
    signalled: KeyboardInterrupt | None = None
    while not renewal.done():
        try:
            wait([renewal])
        except KeyboardInterrupt as signal:
            signalled = signal
    if signalled:
        raise signalled
    return renewal.result()


def _bears_token(told: dict[str, Any]) -> bool:
    """Whether tokens can be sent as they are; others must not take the place of one that works."""
    given = (told.get("access_token"), told.get("refresh_token") or "none")
    return all(isinstance(token, str) and SENDABLE.fullmatch(token) for token in given)


def _known(error: Any, words: Iterable[str] = ENDED | UNKNOWN_APP | PASSING | WRONG) -> str:
    """An error by its code, or nothing: what else an upstream says may hold what it was sent."""
    return error if isinstance(error, str) and error in words else ""


def _after(now: datetime, seconds: Any) -> datetime | None:
    try:
        return now + timedelta(seconds=float(seconds)) if seconds else None
    except (TypeError, ValueError, OverflowError):
        return None
