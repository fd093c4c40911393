"""What became of the files of one resource in a run, counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.printing import counted

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def in_bytes(count: float) -> str:
    """`8.2 KiB`."""
    for unit in UNITS[:-1]:
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} {UNITS[-1]}"


def alone(counts: dict[str, int]) -> Iterator[str]:
    """Files that failed and are passed over, for a person."""
    words = {"waiting": "wait for their next try", "given_up": "given up"}
    yield from (f"{counts[state]:,} {said}" for state, said in words.items() if counts.get(state))


@dataclass
class Tally:
    """Counts of files.

    `found` were in the store already, put there by a run that died; `same` have a receipt by another name, or will
    have; `left_alone` failed before and are not due, `waiting` or `given_up`; `stored_before` were asked for by name.
    """

    due: int = 0
    moved: int = 0
    found: int = 0
    failed: int = 0
    quarantined: int = 0
    same: int = 0
    bytes: int = 0
    seconds: float = 0
    left_alone: dict[str, int] = field(default_factory=dict)
    stored_before: int = 0

    @property
    def done(self) -> int:
        """How many have come to their end."""
        return self.moved + self.found + self.failed + self.quarantined + self.same

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds if self.seconds else 0.0

    def seconds_left(self) -> int | None:
        """How long it will take at the pace so far; None before there is one."""
        return round(self.seconds / self.done * (self.due - self.done)) if self.done and self.seconds else None

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON."""
        rounded = {"seconds": round(self.seconds, 3), "bytes_per_second": round(self.bytes_per_second)}
        return {**asdict(self), **rounded}

    def line(self) -> str:
        """The counts for a person."""
        return ", ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        size = f" ({in_bytes(self.bytes)}, {in_bytes(self.bytes_per_second)}/s)" if self.moved else ""
        yield f"{counted(self.moved, 'file')} moved{size}"
        named = {"found": "in the store already", "failed": "failed", "quarantined": "quarantined",
                 "same": "stored under another name", "stored_before": "stored before"}  # fmt: skip
        yield from (f"{getattr(self, name):,} {words}" for name, words in named.items() if getattr(self, name))
        yield from alone(self.left_alone)
