"""How people sign in to Garmin Connect: once by `garminconnect`, with MFA; from then on tokens renew themselves.

A sign-in holds 30 days from its last use; each renewal gives a new refresh token. A login that is refused, or
answered 429, is never repeated: each try prolongs the wait, which is hours to a day.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from binascii import Error as NoBase64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dlt.common.configuration import configspec
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.typing import TSecretStrValue

from sources.kit.errors import SignInNeeded, SourceError, TryLater
from sources.kit.oauth2 import App, OAuth2
from sources.kit.secrets import keep_out
from sources.kit.tokens import Person, Token

TOKEN_URL = "https://diauth.garmin.com/di-oauth2-service/oauth/token"
LASTS = timedelta(days=30)
REFUSED = (400, 401, 403)
CLIENT = "client_id"
LIMITED = "Garmin takes no logins from here for now (429); wait a day, as each try before prolongs the wait"
WRONG = "e-mail address, password or code are not right; check them first: Garmin locks out who tries often"


@configspec
class Credentials(BaseConfiguration):
    """What a person would be asked for; `domain` is garmin.cn for accounts in China."""

    username: str | None = None
    password: TSecretStrValue | None = None
    domain: str = "garmin.com"


@dataclass(frozen=True)
class GarminSignIn(OAuth2):
    """The `SIGN_IN` of the source; an app of one's own is not needed, the token tells its app."""

    @property
    def needs(self) -> dict[str, bool]:
        """Nothing: who signs in is asked, unless the settings tell."""
        return {}

    def login(self, person: Person) -> Token:
        """Let a person sign in with a password, and a code where Garmin asks for one."""
        given = resolve_configuration(Credentials(), sections=person.sections)
        username = given.username or person.ask("Garmin e-mail address")
        password = str(given.password or person.ask("Garmin password", secret=True))
        keep_out(password)
        client = _signed_in(given.domain, username, password, lambda: person.ask("code that Garmin has sent"))
        if not (client.di_token and client.di_refresh_token):
            raise SignInNeeded("garmin: signed in, but no token came that can be renewed; try again tomorrow")
        return Token(
            access_token=client.di_token,
            refresh_token=client.di_refresh_token,
            expires_at=_end(client.di_token),
            refresh_expires_at=datetime.now(UTC) + LASTS,
            extra={CLIENT: client.di_client_id},
        )

    def refreshed(self, token: Token) -> Token:
        """The token that follows; Garmin takes the old one no more."""
        client = str(token.extra.get(CLIENT, ""))
        app = resolve_configuration(
            App(client_id=client, authorize_url=self.authorize_url, token_url=self.token_url),
            sections=("sources", self.name),
        )
        grant = {"grant_type": "refresh_token", "refresh_token": str(token.refresh_token), CLIENT: client}
        return self._asked(app, grant, token)

    def _refusal(self, status: int, error: str, app: App) -> SourceError:
        refusal = super()._refusal(status, error, app)
        return (
            SignInNeeded(f"garmin: its token was refused ({status}): the sign-in has ended, or it was withdrawn")
            if status in REFUSED
            else refusal
        )


def _signed_in(domain: str, username: str, password: str, code: Callable[[], str]) -> Any:
    """The client of `garminconnect` after a login."""
    from garminconnect import client as garmin
    from garminconnect import exceptions as refused

    client = garmin.Client(domain)
    _give_up_at_429(client, refused)
    try:
        client.login(username, password, prompt_mfa=code)
    except refused.GarminConnectAuthenticationError as error:
        raise SignInNeeded(f"garmin: {LIMITED if str(error) == LIMITED else WRONG}") from None
    except refused.GarminConnectTooManyRequestsError:
        raise SignInNeeded(f"garmin: {LIMITED}") from None
    except refused.GarminConnectConnectionError:
        why = "Garmin could not be reached, or wants a login in a browser"
        raise TryLater(f"garmin: {why}; try again later, from another network if need be") from None
    return client


def _give_up_at_429(client: Any, refused: Any) -> None:
    """Let the first 429 end a login: the library would go on with a dozen others, and only stops at bad credentials."""

    def once(way: Callable[..., Any]) -> Callable[..., Any]:
        def tried(*given: Any, **named: Any) -> Any:
            try:
                return way(*given, **named)
            except refused.GarminConnectTooManyRequestsError:
                raise refused.GarminConnectAuthenticationError(LIMITED) from None

        return tried

    for name in dir(client):
        if name.startswith("_") and "login" in name:
            setattr(client, name, once(getattr(client, name)))


def _end(token: str) -> datetime | None:
    """When a token ends, by its own words; None where it tells none."""
    try:
        body = token.split(".")[1]
        told = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return datetime.fromtimestamp(told["exp"], UTC)
    except (IndexError, NoBase64, ValueError, TypeError, KeyError):
        return None


SIGN_IN = GarminSignIn("garmin", authorize_url="", token_url=TOKEN_URL, lasts=LASTS, secret="header")
