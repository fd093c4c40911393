"""Stands in for an OAuth 2 authorization server, as strict as they come, and for one resource behind it.

`/authorize` asks nobody: it sends the browser back with a code, or with `access_denied` for the scope `denied`.
`/token` takes a code once, with its PKCE verifier, and each refresh token once: the second use of one withdraws the
whole sign-in. `/revoke` withdraws it, too. Access tokens last an hour, a sign-in 180 days, by the sandbox's clock.
`/rows` lists `records` rows to whoever is signed in; with `?once=1` the access token is of no use afterwards.
Other stand-ins may have an `AuthorizationServer` of their own, or sign-ins there from the start: `SERVER.standing`.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from sandbox.exchange import Reply, Request, World

CLIENT, SECRET = "sandbox-app", "sandbox-app-secret"
ACCESS, SIGN_IN = timedelta(hours=1), timedelta(days=180)
DENIED = "denied"
KINDS = ("access", "refresh")
_ONE_AT_A_TIME = threading.Lock()


@dataclass
class Grant:
    """One sign-in: what it may be asked for by now."""

    scope: str
    redirect_uri: str
    challenge: str
    since: datetime
    code: str | None
    access: str = ""
    refresh: str = ""
    expires: datetime | None = None
    withdrawn: bool = False
    rotates: bool = True


class AuthorizationServer:
    """The endpoints of one upstream; what it remembers is the world's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def answer(self, request: Request, world: World) -> Reply | None:
        """Its answer, or None to what is no endpoint of it."""
        endpoints = {
            ("GET", "/authorize"): self._authorize,
            ("POST", "/token"): self._token,
            ("POST", "/revoke"): self._revoke,
        }
        endpoint = endpoints.get((request.method, request.path))
        with _ONE_AT_A_TIME:
            return endpoint(request, world) if endpoint else None

    def grant_of(self, request: Request, world: World) -> Grant | None:
        """The sign-in whose access token a request bears, if that still works."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        found = next((g for g in self._grants(world) if token and g.access == token), None)
        works = found and not found.withdrawn and found.expires and world.now < found.expires
        return found if works and kind.lower() == "bearer" else None

    def standing(self, world: World, name: str) -> Grant:
        """A sign-in that is there from the start and whose tokens do not rotate, as settings may hold them."""
        known: dict[str, Grant] = self._memory(world).setdefault("standing", {})
        if name not in known:
            access, refresh = (f"{kind}-{world.random(self._name, name, kind).getrandbits(160):040x}" for kind in KINDS)
            known[name] = Grant("", "", "", world.now, None, access, refresh, world.now + SIGN_IN, rotates=False)
            self._grants(world).append(known[name])
        return known[name]

    def _authorize(self, request: Request, world: World) -> Reply:
        asked = {name: values[-1] for name, values in request.query.items()}
        if asked.get("client_id") != CLIENT or "redirect_uri" not in asked:
            return Reply(400, "INVALID_CLIENT: no such client, or no redirect_uri")
        if asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256":
            return _back(asked, error="invalid_request")
        if asked.get("scope") == DENIED:
            return _back(asked, error="access_denied")
        code = self._made(world, "code")
        challenge = asked.get("code_challenge", "")
        grant = Grant(asked.get("scope", ""), asked["redirect_uri"], challenge, world.now, code)
        self._grants(world).append(grant)
        return _back(asked, code=code)

    def _token(self, request: Request, world: World) -> Reply:
        form = _form(request)
        if not _is_client(request, form):
            return Reply(401, {"error": "invalid_client"})
        match form.get("grant_type"):
            case "authorization_code":
                grant = self._by_code(form, world)
            case "refresh_token":
                grant = self._by_refresh(form.get("refresh_token", ""), world)
            case _:
                return Reply(400, {"error": "unsupported_grant_type"})
        if grant is None or grant.withdrawn or world.now >= grant.since + SIGN_IN:
            told = f"not valid: {form.get('refresh_token')}"  # some servers repeat what they were sent
            return Reply(400, {"error": "invalid_grant", "error_description": told})
        return Reply(200, self._next(grant, world))

    def _by_code(self, form: dict[str, str], world: World) -> Grant | None:
        grant = next((g for g in self._grants(world) if g.code is not None and g.code == form.get("code")), None)
        if grant is None:
            return None
        grant.code = None
        hashed = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proof = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        return grant if (grant.challenge, grant.redirect_uri) == (proof, form.get("redirect_uri")) else None

    def _by_refresh(self, token: str, world: World) -> Grant | None:
        spent: dict[str, Grant] = self._memory(world).setdefault("spent", {})
        if token in spent:
            spent[token].withdrawn = True
        return next((g for g in self._grants(world) if token and g.refresh == token), None)

    def _next(self, grant: Grant, world: World) -> dict[str, Any]:
        """A new pair of tokens, the old one has been used; of a sign-in that does not rotate the same once more."""
        if not grant.rotates:
            return {"access_token": grant.access, "token_type": "Bearer", "expires_in": int(ACCESS.total_seconds())}
        if grant.refresh:
            self._memory(world).setdefault("spent", {})[grant.refresh] = grant
        grant.access, grant.refresh = self._made(world, "access"), self._made(world, "refresh")
        grant.expires = world.now + ACCESS
        return {
            "access_token": grant.access,
            "token_type": "Bearer",
            "expires_in": int(ACCESS.total_seconds()),
            "refresh_token": grant.refresh,
            "scope": grant.scope,
        }

    def _revoke(self, request: Request, world: World) -> Reply:
        token = _form(request).get("token", "")
        for grant in self._grants(world):
            grant.withdrawn = grant.withdrawn or token in (grant.access, grant.refresh)
        return Reply(200, {})

    def _made(self, world: World, kind: str) -> str:
        """A text that nobody can guess, save who knows the seed."""
        memory = self._memory(world)
        memory["made"] = memory.get("made", 0) + 1
        return f"{kind}-{world.random(self._name, kind, memory['made']).getrandbits(160):040x}"

    def _grants(self, world: World) -> list[Grant]:
        grants: list[Grant] = self._memory(world).setdefault("grants", [])
        return grants

    def _memory(self, world: World) -> dict[str, Any]:
        memory: dict[str, Any] = world.memory.setdefault(self._name, {})
        return memory


SERVER = AuthorizationServer("oauth")


def settings(base_url: str, folder: Path, world: World) -> dict[str, Any]:
    """Where it is, and the app it knows."""
    return {
        "sources.oauth.base_url": base_url,
        "sources.oauth.authorize_url": f"{base_url}/authorize",
        "sources.oauth.token_url": f"{base_url}/token",
        "sources.oauth.client_id": CLIENT,
        "sources.oauth.client_secret": SECRET,
    }


def answer(request: Request, world: World) -> Reply:
    """Answer as an authorization server, or as the resource behind it."""
    return SERVER.answer(request, world) or _resource(request, world)


def _resource(request: Request, world: World) -> Reply:
    if (request.method, request.path) != ("GET", "/rows"):
        return Reply(404, {"error": "not_found"})
    grant = SERVER.grant_of(request, world)
    if grant is None:
        return Reply(401, {"error": "invalid_token"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    if "once" in request.query:
        grant.expires = None
    return Reply(200, [{"id": number, "scope": grant.scope} for number in range(1, world.records + 1)])


def _back(asked: dict[str, str], **answer: str) -> Reply:
    """Send the browser back to the app."""
    state = {"state": asked["state"]} if "state" in asked else {}
    separator = "&" if urlsplit(asked["redirect_uri"]).query else "?"
    return Reply(302, headers={"Location": f"{asked['redirect_uri']}{separator}{urlencode({**answer, **state})}"})


def _form(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}


def _is_client(request: Request, form: dict[str, str]) -> bool:
    """A public app says who it is; one that says a secret, in a header or the body, must say the right one."""
    kind, _, packed = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        client, _, secret = base64.b64decode(packed).decode().partition(":")
        return (unquote(client), unquote(secret)) == (CLIENT, SECRET)
    return form.get("client_id") == CLIENT and form.get("client_secret", SECRET) == SECRET
