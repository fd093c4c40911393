"""Have all files carried by a second process, which a run starts by itself only where thousands keep it busy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.files import mover, worker
from tests.killed import Moment


def carry_all(patch: Callable[[object, str, object], None] = setattr) -> None:
    """Leave nothing to the threads of this process but what nobody else can make."""
    patch(worker, "LOOK", 0)
    patch(worker, "BUSY", 0)
    patch(worker, "CORES", 2)
    patch(mover._Moving, "_width", lambda moving, lane: moving._settings.transfers if moving._here else 0)
    patch(mover._Moving, "_width_apart", lambda moving: moving._settings.transfers)


@dataclass(frozen=True)
class Apart:
    """A moment of a run whose files are carried so."""

    moment: Moment

    def arm(self, act: Callable[[], None]) -> None:
        """Make the moment act."""
        carry_all()
        self.moment.arm(act)

    def __str__(self) -> str:
        return f"{self.moment}, apart"
