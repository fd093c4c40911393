"""What the warehouse knows of raw files: kept in the pipeline's state, so that it is committed with the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.landing.manifest import Manifest

PLACE = "_etl_landing"  # beside the states of sources


@dataclass
class Position:
    """`loaded` has by fetch, as long as its files wait, the resources that are in the tables.

    `rebuilt` is there while a rebuild lasts: the key of the last fetch that it has loaded, empty before the first.
    `held` are the resources whose cursor it leaves behind, since a file of theirs could not be read.
    `landings` are those whose raw files the tables are made of: their signs, each with where it last was.
    """

    loaded: dict[str, list[str]] = field(default_factory=dict)
    rebuilt: list[str] | None = None
    held: list[str] = field(default_factory=list)
    landings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, state: Any) -> Position:
        """As a pipeline's state has it."""
        return cls(**state.get("sources", {}).get(PLACE, {}))

    def put(self, state: Any) -> None:
        """Make it part of a state."""
        kept = asdict(self) if self.rebuilt is not None else {"loaded": self.loaded, "landings": self.landings}
        state.setdefault("sources", {})[PLACE] = kept

    def left(self, manifest: Manifest) -> list[str]:
        """The resources of a fetch that are not loaded."""
        return [name for name in manifest.resources if name not in self.loaded.get(manifest.note, [])]
