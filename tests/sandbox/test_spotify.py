"""The manners of the Spotify stand-in, and what the clock does to it."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest

from sandbox import spotify


@pytest.fixture
def ask(sandbox, get):
    """Ask as one of the accounts."""

    def asked(account: str, path: str):
        packed = sandbox.settings("spotify")[f"sources.spotify.{account}.token"]
        token = json.loads(b64decode(packed))["access_token"]
        return get(f"/spotify{path}", headers={"Authorization": f"Bearer {token}"})

    return asked


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("/me", 200, 200),
        ("/me/tracks?limit=50", 200, 200),
        ("/me/player/recently-played?after=1&before=2", 400, 400),
        ("/playlists/nobody/items", 404, 404),
        ("/playlists/{morning}/items", 404, 200),
        ("/playlists/{morning}/tracks", 200, 403),
        ("/playlists/{of_others}/tracks", 403, 403),
        ("/browse", 404, 404),
    ],
)
def test_statuses(ask, sandbox, path, old, new):
    codes = {name: spotify._code(sandbox.world, "playlist", name) for name in ("morning", "of_others")}
    told = [ask(account, path.format(**codes)).status_code for account in spotify.ACCOUNTS]
    assert told == [old, new]


def test_nobody_is_asked_for_a_token(get):
    assert get("/spotify/me").status_code == 401
    assert get("/spotify/me", headers={"Authorization": "Bearer x"}).json()["error"]["status"] == 401


def test_the_fields_of_2026_are_fewer(ask):
    old, new = (ask(account, "/me/tracks?limit=1").json()["items"][0]["track"] for account in spotify.ACCOUNTS)
    assert set(old) - set(new) == {"popularity", "available_markets"}
    assert set(ask("boris", "/me").json()) ^ set(ask("anna", "/me").json()) == {
        "account_id", "country", "email", "followers", "product",
    }  # fmt: skip


def test_the_last_plays_are_all_there_is(ask, sandbox):
    path = "/me/player/recently-played?limit=50"
    page = ask("anna", path).json()
    times = [item["played_at"] for item in page["items"]]
    assert (len(times), times) == (50, sorted(times, reverse=True))
    older = ask("anna", f"{path}&before={page['cursors']['before']}").json()
    assert (older["items"], older["cursors"], older["next"]) == ([], None, None)
    newer = ask("anna", f"{path}&after={page['cursors']['before']}").json()
    assert len(newer["items"]) == 49
    sandbox.move_to(2)
    later = [item["played_at"] for item in ask("anna", path).json()["items"]]
    assert len(set(later) - set(times)) == 8
    assert min(set(later) - set(times)) < max(times)


def test_pages_lead_to_the_end(ask):
    seen, after = [], ""
    while after is not None:
        page = ask("anna", f"/me/following?type=artist&limit=20{after and f'&after={after}'}").json()["artists"]
        seen += [artist["id"] for artist in page["items"]]
        after = page["cursors"]["after"]
    assert (len(seen), len(set(seen)), page["total"], page["next"]) == (55, 55, 55, None)
