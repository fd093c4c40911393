"""Arrays of arrays, read by the list of descriptors beside them: one row a moment, one column a series.

A descriptor is `{key, index}` in several spellings. Where an answer has none, as old ones do, its rows must have
exactly the width that Garmin documented; nothing is read by position otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sources.garmin.flat import Row, snake
from sources.garmin.moments import iso, moment
from sources.kit import notices

AT = "measured_at"


@dataclass(frozen=True)
class Series:
    """Where the values of some columns are; `named` are the columns of Garmin's names in its documented order."""

    values: str
    descriptors: str | None
    named: Mapping[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of an answer that it is read from."""
        return (self.values, self.descriptors) if self.descriptors else (self.values,)

    def points(self, answer: Mapping[str, Any], day: str) -> Iterator[Row]:
        """A row of named cells for each entry, and a notice for each that cannot be read."""
        entries = answer.get(self.values) or []
        if not isinstance(entries, list):
            yield notices.rejected({"calendar_date": day, self.values: entries}, "is no list", self.values)
            return
        order = self._order(answer)
        for entry in entries:
            width = len(entry) if isinstance(entry, list) else -1
            if order and width > max(order.values()):
                yield {name: entry[place] for name, place in order.items()}
            elif order is None and width == len(self.named):
                yield dict(zip(self.named.values(), entry, strict=True))
            else:
                yield notices.rejected(
                    {"calendar_date": day, "entry": entry}, "does not fit its descriptors", self.values
                )

    def _order(self, answer: Mapping[str, Any]) -> dict[str, int] | None:
        """The place of each column; None where nothing is described, nothing where that cannot be read."""
        described = answer.get(self.descriptors) if self.descriptors else None
        if not described:
            return None
        found: dict[str, int] = {}
        for descriptor in described:
            place, name = _described(descriptor)
            if place is None:
                return {}
            found[self.named.get(name, snake(name))] = place
        return found


@dataclass(frozen=True)
class Points:
    """A list of objects with a moment and some values each, as sleep has them; `named` are their columns."""

    values: str
    at: tuple[str, ...]
    named: Mapping[str, str]
    descriptors: None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of an answer that it is read from."""
        return (self.values,)

    def points(self, answer: Mapping[str, Any], day: str) -> Iterator[Row]:
        """A row of named cells for each entry, and a notice for each that is none."""
        entries = answer.get(self.values) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            if isinstance(entry, dict):
                at = next((entry[key] for key in self.at if key in entry), None)
                yield {AT: at, **{column: entry.get(key) for key, column in self.named.items()}}
            else:
                yield notices.rejected({"calendar_date": day, "entry": entry}, "is no object", self.values)


def samples(answer: Mapping[str, Any], day: str, all_series: Sequence[Series | Points]) -> Iterator[Row]:
    """One row a moment with what the series say of it; an entry without a moment is told as a notice."""
    found: dict[Any, Row] = {}
    for series in all_series:
        for point in series.points(answer, day):
            if getattr(point, "is_notice", False):
                yield point
            elif at := moment(point.get(AT)):
                point[AT] = iso(at)
                found.setdefault(at, point).update(point)
            else:
                yield notices.rejected({"calendar_date": day, **point}, "tells no moment", series.values)
    yield from found.values()


def _described(descriptor: Any) -> tuple[int | None, str]:
    """The place and the name that a descriptor gives, in whatever spelling."""
    place, name = None, ""
    for key, value in descriptor.items() if isinstance(descriptor, dict) else ():
        if key.lower().endswith("index") and type(value) is int and value >= 0:
            place = value
        elif key.lower().endswith("key") and isinstance(value, str):
            name = value
    return (place, name) if name else (None, "")
