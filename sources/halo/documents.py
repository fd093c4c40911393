"""The reference files: below a folder, or behind URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from sources.halo.icons import Images
from sources.kit import http
from sources.kit.errors import BadSetting, Unreadable
from sources.kit.repeats import parsed


class Documents:
    """Each file parsed once, however many tables come out of it."""

    def __init__(self, json_dir: str, session: http.Session, images: Images) -> None:
        """A file of the host of `images` is asked for with its tokens."""
        self._home, self._session, self._images = json_dir, session, images
        self._parsed: dict[str, Any] = {}

    def get(self, file: str) -> Any:
        """The document of a file: a name below `json_dir`, or a URL; Unreadable where there is none."""
        if file not in self._parsed:
            address = file if _is_url(file) else f"{self._home.rstrip('/')}/{file}"
            self._parsed[file] = self._asked(address) if _is_url(address) else self._read(file)
        return self._parsed[file]

    def _asked(self, url: str) -> Any:
        with self._session:
            response = self._session.get(url, headers=self._images.headers_to(url))
        if response.status_code in (404, 410):
            raise Unreadable(f"is not there ({response.status_code}); check json_dir, or leave its tables out")
        http.raise_for_status(response)
        return http.document(response)

    def _read(self, file: str) -> Any:
        path = self._found(file)
        try:
            return parsed(path.read_bytes())
        except OSError as wrong:
            raise Unreadable(f"cannot be read: {wrong.strerror}; check the file and the rights to read it") from wrong
        except orjson.JSONDecodeError as wrong:
            raise Unreadable(f"is no JSON: {wrong}; send it again") from wrong

    def _found(self, file: str) -> Path:
        """The file itself, or the only one of its name further down, as the original's tree has them."""
        home = Path(self._home)
        if not home.is_dir():
            raise BadSetting(f"halo.json_dir: there is no folder {home}; name it: --with json_dir=FOLDER, or a URL")
        below = [home / file] if (home / file).is_file() else _below(home, file)
        if not below:
            raise Unreadable(f"is not below {home}; put it there, or leave its tables out")
        if len(below) > 1:
            raise Unreadable(f"is below {home} {len(below)} times; name one of their folders as json_dir")
        return below[0]


def _is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _below(home: Path, file: str) -> list[Path]:
    """The files of a name, wherever they lie; the name may be anything."""
    return sorted(path for path in home.rglob("*") if path.as_posix().endswith(f"/{file}") and path.is_file())
