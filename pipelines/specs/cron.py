"""Cron schedules of five fields, as GitHub Actions and crontab read them."""

from __future__ import annotations

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_TERM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d{1,4}))?", re.ASCII)


def mistake(schedule: str) -> str | None:
    """What is wrong with a schedule, or None."""
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f'expected five cron fields such as "17 * * * *", got {len(fields)}'
    found = (_field(text, *field) for text, field in zip(fields, _FIELDS, strict=True))
    return next((message for message in found if message), None)


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> str | None:
    for term in text.split(","):
        match = _TERM.fullmatch(term)
        if not match:
            return f"the {name} {term[:20]!r} is not cron; use numbers, *, -, / and commas"
        numbers = [_number(word, names) for word in match.group("first", "last") if word is not None]
        if any(n is None or not low <= n <= high for n in numbers):
            return f"the {name} {term[:20]!r} is outside {low}-{high}"
        if len(numbers) == 2 and numbers[0] > numbers[1]:  # type: ignore[operator]  # None was refused above
            return f"the {name} {term[:20]!r} runs backwards"
        if match["step"] is not None and int(match["step"]) == 0:
            return f"the {name} {term[:20]!r} has a step of 0"
    return None


def _number(word: str, names: dict[str, int]) -> int | None:
    return int(word) if word.isdigit() and len(word) < 4 else names.get(word.lower())
