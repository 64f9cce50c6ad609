"""The classes of items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reactions.api.results import Cell, ResultList, jsonable
from reactions.core.types import Modality


@dataclass(frozen=True, slots=True)
class ItemClasses:
    """The classes that an item is nearest to.

    Attributes:
        item: what to call it.
        modality: of it.
        classes: (name, score) pairs, best first.
    """

    item: str
    modality: Modality
    classes: tuple[tuple[str, float], ...]


class Classified(ResultList[ItemClasses]):
    """The classes of items, in the order of the items.

    Attributes:
        about: how classes were described; JSON-able.
    """

    def __init__(
        self,
        lab: str,
        items: Sequence[ItemClasses],
        about: Mapping[str, Any],
        notices: Sequence[str],
    ) -> None:
        self.lab = lab
        self.about = about
        self.notices = tuple(notices)
        self._entries = tuple(items)

    @property
    def title(self) -> str:
        """What it is."""
        return "nearest classes"

    @property
    def columns(self) -> tuple[str, ...]:
        """A row a class of an item."""
        return ("item", "modality", "rank", "class", "score")

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield the classes of all items."""
        for item_classes in self._entries:
            for rank, (name, score) in enumerate(item_classes.classes, start=1):
                yield item_classes.item, item_classes.modality, rank, name, score

    def to_json(self) -> dict[str, Any]:
        """Return it as an object for ``json.dumps``."""
        return {**super().to_json(), "centres": jsonable(self.about)}
