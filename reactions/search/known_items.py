"""Which items an index has, held against what is to be added."""

from __future__ import annotations

from reactions.core.errors import UsageError
from reactions.core.types import Item, Modality
from reactions.search.index import SearchIndex


class KnownItems:
    """Which items an index has, and which rows are to go."""

    def __init__(self, index: SearchIndex | None) -> None:
        self._numbers: dict[tuple[Modality, str], tuple[int, str]] = {}
        if index is not None:
            for modality in index.modalities:
                for number, item in index.items(modality):
                    self._numbers[modality, item.id] = number, item.digest
        self._seen: set[tuple[Modality, str]] = set()
        self._changed: dict[tuple[Modality, str], int] = {}

    def state(self, item: Item, digest: str) -> str:
        """Return whether an item is ``"new"``, ``"changed"`` or ``"there"``.

        Raises:
            UsageError: the input has two items of one id, with different contents.
        """
        key = item.modality, item.id
        number, known = self._numbers.get(key, (-1, ""))
        if key in self._seen and known != digest:
            raise UsageError(
                f"two different {item.modality} items have the id '{item.id}'",
                why="an index finds items by id",
                fix='give ids of their own: {"id": "...", "' + item.modality + '": "..."}',
            )
        self._seen.add(key)
        if known == digest:
            return "there"
        self._numbers[key] = number, digest
        if number >= 0:
            self._changed[key] = number
        return "new" if not known else "changed"

    def embedded(self, item: Item) -> int:
        """Return the row of an item that has changed, now that there is another; -1 for others."""
        return self._changed.pop((item.modality, item.id), -1)

    def outdated(self) -> dict[Modality, list[int]]:
        """Return the rows of items that have changed and could not be embedded again."""
        rows: dict[Modality, list[int]] = {}
        for (modality, _), number in self._changed.items():
            rows.setdefault(modality, []).append(number)
        return rows
