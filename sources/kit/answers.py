"""What an answer to a `rest:` resource must be, so that an error with status 200 never passes for "nothing new".

dlt takes a selector that matches nothing for an empty page, and empties a table that is replaced.
"""

from __future__ import annotations

from typing import Any

import dlt
from dlt.common import jsonpath
from dlt.sources.helpers.rest_client.detector import find_response_page_data
from dlt.sources.helpers.rest_client.exceptions import IgnoreResponseException
from jsonpath_ng import Child, Fields

from sources.kit import http
from sources.kit.errors import SourceError, TryLater

WHOLE = ("replace", "scd2", "cdc")  # tables that lose what an answer does not bring
KEYS_SHOWN = 8


class Answers:
    """The last response action of a resource.

    Nothing there: 204 and 205, an empty document, an empty list, and null in its place (which is how some
    languages write one). All other documents must hold the selector, or else what dlt found on the first page.
    """

    def __init__(self, selector: str | None) -> None:
        self._selector = selector
        self._path: Any = None

    def __call__(self, response: http.Response) -> None:
        status = response.status_code
        if status >= 400 or response.is_redirect:
            return  # dlt raises the one, the session follows the other
        where = f"{_name()}: {response.request.method} {http.shown(response.url)}"
        if status == 304 and _is_whole():
            raise SourceError(f"{where}: answered 304 (not changed), but its table is replaced; ask without condition")
        if status in (204, 205, 304):
            raise IgnoreResponseException
        if status >= 300:
            raise SourceError(f"{where}: answered {status}; check base_url and path")
        if what := http.not_json(response):
            raise TryLater(f"{where}: answered with {what}; check base_url, or run again later")
        self._check_rows(http.document(response), response)
        response.__class__ = http.Final

    def _check_rows(self, document: Any, response: http.Response) -> None:
        if not document:
            return
        if self._selector is None:
            self._selector = ".".join(find_response_page_data(document)[0])
        self._path = self._path or jsonpath.compile_path(self._selector)
        if not leads_somewhere(self._path, document):
            asked = f"{response.request.method} {http.shown(response.url)}"
            raise SourceError(
                f"{_name()}: the answer of {asked} has no '{self._selector}' ({_told(document)}); "
                "correct data_selector, or ignore such answers by response_actions"
            )


def _name() -> str:
    return f"{dlt.current.source().name}.{dlt.current.resource_name()}"


def _is_whole() -> bool:
    manner = dlt.current.resource().write_disposition
    return (manner.get("strategy") if isinstance(manner, dict) else manner) in WHOLE


def leads_somewhere(path: Any, document: Any) -> bool:
    """Whether the path matches, or leads to a list that merely has nothing for the rest of it."""
    if path.find(document):
        return True
    if not isinstance(path, Child):
        return False
    if path.left.find(document):
        return not isinstance(path.right, Fields) or path.right.fields == ("*",)
    return leads_somewhere(path.left, document)


def _told(document: Any) -> str:
    """What a document is instead, by its keys; its values may be personal."""
    if not isinstance(document, dict):
        return "it is a list" if isinstance(document, list) else "it is a single value"
    keys = [str(key)[:40] for key in document][:KEYS_SHOWN]
    return f"it has: {', '.join(keys)}{' …' if len(document) > KEYS_SHOWN else ''}"
