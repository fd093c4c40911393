"""Texts of others, made fit to be shown and kept: without what may be a secret, and of a length that is read."""

from __future__ import annotations

import re

from pipelines.environment import SECRET_NAME
from pipelines.errors import without_secrets

LONGEST = 500  # characters
HIDDEN = (
    (re.compile(r"://[^\s/]*@"), "://…@"),
    (re.compile(r'(://[^\s?#"<>]*)[?#][^\s"<>]+'), r"\1?…"),
    (re.compile(r'\?[^\s?="<>]+=[^\s"<>]+'), "?…"),
    (re.compile(rf"(\w*(?:{SECRET_NAME})\w*=)[^\s&,;]+", re.I), r"\1…"),
)


def harmless(text: str) -> str:
    """A text without credentials and the queries of addresses, cut where it is longer than anybody reads."""
    text = without_secrets(text)
    for pattern, instead in HIDDEN:
        text = pattern.sub(instead, text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"
