"""`/`: the page. `/enter` takes the administrator's token out of a form, `/leave` ends the visit."""

from __future__ import annotations

import asyncio
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Cookie, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse

from ingest_api import service
from ingest_api.database import DatabaseAway
from ingest_api.events import tell
from ingest_api.page import sessions, views
from ingest_api.page.overview import overview
from ingest_api.tokens import same

LONGEST_FORM = 4096
FORM_SECONDS = 10.0
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{views.STYLE_HASH}'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
AWAY = "The database does not answer; nothing can be shown until it does. Look at /health."
WRONG = "That is not the administrator's token."
ELSEWHERE = "This form was sent from another site; open the page itself and send it from there."
router = APIRouter(include_in_schema=False)

Visit = Annotated[str | None, Cookie(alias=sessions.COOKIE)]


@router.get("/")
async def show(request: Request, visit: Visit = None) -> Response:
    """The page, or the form that leads to it."""
    here = service.of(request)
    if not sessions.holds(here, visit):
        return _page(views.entrance())
    try:
        return _page(views.page(await overview(here)))
    except DatabaseAway:
        return _page(views.apology(AWAY), status.HTTP_503_SERVICE_UNAVAILABLE)


@router.post("/enter")
async def enter(request: Request) -> Response:
    """Begin a visit, for who has the token."""
    here = service.of(request)
    if _is_from_elsewhere(request):
        return _page(views.entrance(ELSEWHERE), status.HTTP_403_FORBIDDEN)
    if not same(await _token(request), here.settings.admin_token.get_secret_value()):
        tell("page_refused")
        return _page(views.entrance(WRONG), status.HTTP_401_UNAUTHORIZED)
    answer = _back()
    answer.set_cookie(
        sessions.COOKIE, sessions.begun(here), max_age=int(sessions.LASTS.total_seconds()), httponly=True,
        samesite="strict", secure=request.url.scheme == "https",
    )  # fmt: skip
    return answer


@router.post("/leave")
async def leave(request: Request) -> Response:
    """End a visit."""
    if _is_from_elsewhere(request):
        return _page(views.entrance(ELSEWHERE), status.HTTP_403_FORBIDDEN)
    answer = _back()
    answer.delete_cookie(sessions.COOKIE, httponly=True, samesite="strict")
    return answer


async def _token(request: Request) -> bytes:
    """The token in a form; nothing where there is none, more than a form has, or it takes too long to come."""
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for data in request.stream():
                body += data
                if len(body) > LONGEST_FORM:
                    return b""
    except TimeoutError:
        return b""
    return parse_qs(body.decode("latin-1"), encoding="utf-8").get("token", [""])[0].strip().encode()


def _is_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page made it send this; without TLS it names the site alone."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def _page(content: str, code: int = status.HTTP_200_OK) -> Response:
    return HTMLResponse(content, code, HEADERS)


def _back() -> Response:
    return RedirectResponse("/", status.HTTP_303_SEE_OTHER, HEADERS)
