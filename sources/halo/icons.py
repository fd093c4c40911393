"""The icons of career ranks and of medals: what they are called in the bucket, and the rows that say they are stored.

The game's host of images answers who has the tokens of a game session: those that were given, else those of whoever has
signed in to `spnkr`; without any nothing is asked of it. A rank's
icon is a file, `career_ranks/rank_<number>_large.png`; a medal's is a cell of a sheet, `medals/<name_id>.png`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from typing import Any
from urllib.parse import quote

from dlt.common.typing import TSecretStrValue

from sources.kit import http, secrets, tokens
from sources.kit.errors import SourceError
from sources.kit.files import OF_OBJECT, FileItem, Files, NoFile, Row, receipt_of
from sources.kit.halo.sign_in import CLEARANCE, SIGN_IN, SPARTAN, headers_of
from sources.kit.png import NotPng, Sheet

API = "https://gamecms-hacs.svc.halowaypoint.com"
RANK_ICON: Any = {"path": {"data_type": "text", "nullable": False}, "rank": {"data_type": "bigint"}, **OF_OBJECT}
MEDAL_ICON: Any = {"icon": {"data_type": "text", "nullable": False}, "name_id": {"data_type": "bigint"}, **OF_OBJECT}


def rank_icons(
    base_url: str = API, spartan_token: TSecretStrValue | None = None, clearance_token: TSecretStrValue | None = None
) -> Files:
    """The large icons of career ranks, from the rows of `career_icons`."""
    images = Images(base_url, spartan_token, clearance_token)

    def items(rows: Iterable[Row]) -> Iterator[FileItem]:
        for row in images.offered(rows):
            key = f"career_ranks/rank_{row['rank']:03}_large.png"
            yield FileItem(row["path"], images.url(row["path"]), key, row, images.headers, media="png")

    return Files("path", items, partial(receipt_of, RANK_ICON), RANK_ICON, names=("rank",))


def medal_icons(
    base_url: str = API, spartan_token: TSecretStrValue | None = None, clearance_token: TSecretStrValue | None = None
) -> Files:
    """The icons of medals, cut out of the sheet that the rows of `medal_icons` name; it is asked for once."""
    images = Images(base_url, spartan_token, clearance_token)

    def items(rows: Iterable[Row]) -> Iterator[FileItem]:
        for row in images.offered(rows):
            sheet, key = row["sheet_path"], f"medals/{row['icon']}.png"
            content = partial(images.cell, sheet, row["sprite_row"], row["sprite_column"], row["cell_pixels"])
            yield FileItem(row["icon"], images.url(sheet), key, row, media="png", content=content)

    return Files("icon", items, partial(receipt_of, MEDAL_ICON), MEDAL_ICON)


class Images:
    """The host of the images, and the sheets that it gave."""

    def __init__(self, base_url: str, spartan_token: str | None, clearance_token: str | None) -> None:
        secrets.keep_out(spartan_token, clearance_token)
        given = {SPARTAN: spartan_token, CLEARANCE: clearance_token}
        self._given = {name: token for name, token in given.items() if token}
        self._base_url, self._is_the_games = base_url.rstrip("/"), base_url == API
        self._sheets: dict[str, Sheet | NoFile] = {}
        self._lock = threading.Lock()

    @cached_property
    def headers(self) -> dict[str, str]:
        """The tokens, if there are any; those of a sign-in, renewed where they have ended, are for the game's host."""
        if self._given or not self._is_the_games or tokens.read(SIGN_IN.name) is None:
            return self._given
        return headers_of(SIGN_IN.signed(None).token())

    @property
    def answers(self) -> bool:
        """Whether there is a token, or a mirror that may want none; nobody is asked."""
        return bool(self._given) or not self._is_the_games or tokens.read(SIGN_IN.name) is not None

    def offered(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows whose images can be had: none without a token, and none that has left its file."""
        yield from (row for row in rows if self.answers and row["deleted_at"] is None)

    def headers_to(self, url: str) -> dict[str, str]:
        """The tokens, for an address of this host."""
        return self.headers if url.startswith(f"{self._base_url}/") else {}

    def url(self, path: str) -> str:
        """The address of an image."""
        return f"{self._base_url}/hi/images/file/{quote(path)}"

    def cell(self, path: str, row: int, column: int, size: int) -> bytes:
        """A cell of a sheet as a picture of its own."""
        with self._lock:
            if path not in self._sheets:
                self._sheets[path] = self._fetched(path)
            sheet = self._sheets[path]
        if isinstance(sheet, NoFile):
            raise NoFile(str(sheet), sheet.http_status)
        try:
            return sheet.cut(column * size, row * size, size, size)
        except NotPng as wrong:
            raise NoFile(f"{path} is {wrong}") from wrong

    def _fetched(self, path: str) -> Sheet | NoFile:
        """A sheet, or why there is none: no other medal asks for it in this run."""
        try:
            with http.open_session("halo") as session:
                response = session.get(self.url(path), headers={**self.headers, "Accept": "image/png"})
            if not response.ok:
                return NoFile(f"{path}: answered {response.status_code}", response.status_code)
            return Sheet(response.content)
        except SourceError as problem:
            return NoFile(str(problem), 401 if problem.kind == "sign_in" else None)
        except NotPng as wrong:
            return NoFile(f"{path} is {wrong}")
