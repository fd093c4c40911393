"""What the service counts, as Prometheus text."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts since this process started."""

    def __init__(self) -> None:
        self.uploading = 0
        self.uploads: Counter[str] = Counter()
        """By outcome: `stored`, `repeated`, or the status of a refusal."""
        self.flags: Counter[str] = Counter()
        self.bytes = 0
        self.requeued = self.orphans = self.lost = 0
        self._took = [0] * (len(SECONDS) + 1)
        self._seconds = 0.0

    def uploaded(self, outcome: str, seconds: float) -> None:
        """An upload has ended."""
        self.uploads[outcome] += 1
        self._took[bisect_left(SECONDS, seconds)] += 1
        self._seconds += seconds

    def text(self, gauges: Mapping[str, tuple[str, Mapping[str, float]]]) -> str:
        """All of it; `gauges` are what the database and the disk say now: name, about, value by labels."""
        lines = [*self._counters(), *self._histogram()]
        for name, (about, values) in gauges.items():
            lines += _family(name, "gauge", about, values)
        return "".join(f"{line}\n" for line in lines)

    def _counters(self) -> Iterator[str]:
        for name, about, values in (
            ("uploads_total", "Uploads by outcome.", _labelled("outcome", self.uploads)),
            ("flags_total", "Stored chunks by what is suspicious.", _labelled("flag", self.flags)),
            ("received_bytes_total", "Bytes of stored chunks.", {"": self.bytes}),
            ("requeued_total", "Claims that took too long.", {"": self.requeued}),
            ("orphans_total", "Files without a row, moved aside.", {"": self.orphans}),
            ("lost_files_total", "Rows whose file is gone.", {"": self.lost}),
        ):
            yield from _family(name, "counter", about, values)
        yield from _family("uploads_in_progress", "gauge", "Uploads at this moment.", {"": self.uploading})

    def _histogram(self) -> Iterator[str]:
        name, seen = "ingest_upload_seconds", 0
        yield f"# HELP {name} How long uploads took."
        yield f"# TYPE {name} histogram"
        for bound, count in zip((*SECONDS, "+Inf"), self._took, strict=True):
            seen += count
            yield f'{name}_bucket{{le="{bound}"}} {seen}'
        yield f"{name}_sum {self._seconds!r}"
        yield f"{name}_count {seen}"


def _labelled(label: str, values: Mapping[str, int]) -> dict[str, float]:
    return {f'{{{label}="{name}"}}': value for name, value in sorted(values.items())}


def _family(name: str, kind: str, about: str, values: Mapping[str, float]) -> Iterable[str]:
    head = [f"# HELP ingest_{name} {about}", f"# TYPE ingest_{name} {kind}"]
    return [*head, *(f"ingest_{name}{labels} {value}" for labels, value in values.items())]
