"""What a source says of its resources for people: `RESOURCES` in its module, found by name, is a mapping of these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """Where it is asked for below `base_url`, what the next run begins from, and what a row is.

    `about` may be left out where the resource is a function, whose docstring says it.
    """

    endpoint: str
    cursor: str
    about: str = ""
