"""What JSON looks like, learnt from the rows that dlt has normalised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]


@dataclass
class Shape:
    """The kinds of value seen in one place; several may be true at once, nulls are none.

    `keys` is what an object there holds, `item` what a list holds; None where neither was ever seen.
    """

    leaf: set[type] = field(default_factory=set)
    keys: dict[str, Shape] | None = None
    item: Shape | None = None

    def learn(self, value: Any) -> None:
        """Take in one value and everything below it."""
        if isinstance(value, dict):
            self._learn_object(value)
        elif isinstance(value, list):
            self.item = self.item or Shape()
            for element in value:
                self.item.learn(element)
        elif value is not None:
            self.leaf.add(type(value))

    def _learn_object(self, value: dict[str, Any]) -> None:
        if self.keys is None:
            self.keys = {}
        for key, inner in value.items():
            if inner is not None:
                self.keys.setdefault(key, Shape()).learn(inner)

    @property
    def is_container(self) -> bool:
        return self.keys is not None or self.item is not None

    @property
    def is_blank(self) -> bool:
        """Whether nothing but nulls was seen."""
        return not self.leaf and not self.is_container

    @property
    def is_mixed(self) -> bool:
        """Whether values of more than one kind share the place."""
        return bool(self.leaf) + (self.keys is not None) + (self.item is not None) > 1

    def has(self, kinds: set[type]) -> bool:
        """Whether values of these Python types bring nothing new but, perhaps, another scalar type."""
        if dict in kinds and self.keys is None:
            return False
        if list in kinds and self.item is None:
            return False
        return bool(self.leaf) or kinds <= {dict, list}
