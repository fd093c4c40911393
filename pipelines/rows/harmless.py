"""Texts of others, made fit to be shown and kept: without what may be a secret, and of a length that is read."""

from __future__ import annotations

import re

from pipelines.environment import SECRET_NAME
from pipelines.errors import without_secrets

LONGEST, LOOKED_AT = 500, 5_000  # characters
NAME = rf"(?:{SECRET_NAME.replace('_', '[_-]?')})[\w-]{{0,30}}"  # an apiKey is an api_key
HIDDEN = (
    (re.compile(r"://[^\s/]*@"), "://…@"),
    (re.compile(r'(://[^\s?#"<>]*)[?#][^\s"<>]+'), r"\1?…"),
    (re.compile(r'\?[^\s?="<>]+=[^\s"<>]+'), "?…"),
    (re.compile(rf"({NAME}(\\?[\"'])\s*:\s*)(\\?[\"'])(?:(?!\3)(?:\\.|[^\\]))*", re.I), r"\1\3…"),
    (re.compile(rf"({NAME}(\\?[\"'])\s*:\s*)(?:[\[{{][^\]}}]*|[^\s\"'\\,}}\]…]+)", re.I), r"\1…"),
    (re.compile(rf"({NAME}=)[^\s&,;]+", re.I), r"\1…"),
)


def harmless(text: str) -> str:
    """A text without credentials and the queries of addresses, cut where it is longer than anybody reads."""
    text = without_secrets(text)
    whole, text = len(text), text[:LOOKED_AT]
    for pattern, instead in HIDDEN:
        text = pattern.sub(instead, text)
    return text if len(text) <= LONGEST and whole <= LOOKED_AT else f"{text[:LONGEST]}… ({whole} characters)"
