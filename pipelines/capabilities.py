"""What a destination can do, worked out once: dlt asks thirty times in a run, and looks up every setting each time."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.normalizers.naming import NamingConvention


class Known(Destination[Any, Any]):
    """A destination that remembers its capabilities; it lives as long as one run, whose settings do not change."""

    def capabilities(
        self, config: Any = None, naming: NamingConvention | None = None
    ) -> DestinationCapabilitiesContext:
        """As dlt finds them; a copy, since a pipeline writes into what it gets."""
        if config is not None:
            return super().capabilities(config, naming)
        convention = type(naming)
        if convention not in self._known:
            self._known[convention] = super().capabilities(naming=naming)
        return self._known[convention].copy()

    @cached_property
    def _known(self) -> dict[type[NamingConvention | None], DestinationCapabilitiesContext]:
        return {}
