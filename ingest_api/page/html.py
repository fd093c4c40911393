"""HTML by functions: what is no HTML already is escaped, wherever it stands."""

from __future__ import annotations

import html

VOID = frozenset({"input", "link", "meta"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(kind: str, /, *children: str, **attributes: str | bool | None) -> Html:
    """An element; `class_` is `class`, `aria_label` is `aria-label`; without a value it is left out."""
    told = "".join(map(_attribute, attributes, attributes.values()))
    return Html(f"<{kind}{told}>" if kind in VOID else f"<{kind}{told}>{joined(*children)}</{kind}>")


def joined(*children: str) -> Html:
    """Several, one after the other."""
    return Html("".join(child if isinstance(child, Html) else html.escape(child) for child in children))


def _attribute(name: str, value: str | bool | None) -> str:
    if not value:
        return ""
    told = name.rstrip("_").replace("_", "-")
    return f" {told}" if value is True else f' {told}="{html.escape(value)}"'
