"""Which items an index has, held against what is to be added."""

from __future__ import annotations

import sys
from pathlib import Path

from reactions.core.errors import UsageError
from reactions.core.local_files import whole_path
from reactions.core.storage import Blob
from reactions.core.types import Item, Modality
from reactions.search.index import SearchIndex
from reactions.search.item_names import is_there


class KnownItems:
    """Which items an index has, and which rows are to go."""

    def __init__(self, index: SearchIndex | None) -> None:
        self._numbers: dict[tuple[Modality, str], tuple[int, str]] = {}
        self._origins: dict[tuple[Modality, str], str] = {}
        if index is not None:
            for modality in index.modalities:
                for number, item in index.items(modality):
                    id = _without_dots(item.id) if item.id == item.source else item.id
                    self._numbers[modality, id] = number, item.digest
                    if origin := item.within or item.origin:  # few files hold many items
                        self._origins[modality, id] = sys.intern(_without_dots(origin))
        self._keys_seen: set[tuple[Modality, str]] = set()
        self._changed: dict[tuple[Modality, str], int] = {}
        self._unplaced: list[tuple[Modality, str]] = []

    def state(self, item: Item, digest: str) -> str:
        """Return whether an item is ``"new"``, ``"changed"`` or ``"there"``.

        Raises:
            UsageError: the input has two items of one id, with different contents, or the index
                has another one, to which another file gave it.
        """
        key = item.modality, item.id
        number, last_digest = self._numbers.get(key, (-1, ""))
        if key in self._keys_seen and last_digest != digest:
            own_ids = 'give ids of their own: {"id": "...", "' + item.modality + '": "..."}'
            in_file = _lies_in_a_file(item) or _origin(item) != self._origins.get(key, "")
            raise UsageError(
                f"two different {item.modality} items have the id '{item.id}'",
                why="an index finds items by id",
                fix="index one set at a time, each with --prefix NAME" if in_file else own_ids,
            )
        self._keys_seen.add(key)
        if last_digest == digest:
            return "there"
        if last_digest:
            self._refuse_another_set(item)
        self._numbers[key] = number, digest
        self._origins[key] = sys.intern(_origin(item))
        if number >= 0:
            self._changed[key] = number
        return "new" if not last_digest else "changed"

    def _refuse_another_set(self, item: Item) -> None:
        """Refuse an item whose id another one has that another file gave it.

        Keys of shards, such as 00000012, and numbers of lines repeat from set to set. The index's
        own item did not change where the file that gave it its id is still there, and is not the
        one that is read.

        Raises:
            UsageError: there is such an item.
        """
        before, now = self._origins.get((item.modality, item.id), ""), _origin(item)
        if not before or not now:
            if item.own_id:
                self._unplaced.append((item.modality, item.id))
        elif now != before and is_there(before):
            raise UsageError(
                f"'{now}' holds another {item.modality} with the id '{item.id}' than "
                f"'{before}', which the index has",
                why="keys of tars and ids of rows and lines repeat from set to set, and an index "
                "has one item of an id",
                fix="--prefix NAME, before the ids of this set   or, if it is newer, take "
                "the older one out first: molspace index remove",
                id=item.id,
                within=before,
            )

    def embedded(self, item: Item) -> int:
        """Return the row of an item that has changed, now that there is another; -1 for others."""
        return self._changed.pop((item.modality, item.id), -1)

    @property
    def unplaced(self) -> list[tuple[Modality, str]]:
        """What has taken the place of others of its ids, perhaps of another set: modality and id.

        Which file gave its id to one of both is not known.
        """
        return [key for key in self._unplaced if key not in self._changed]

    def outdated(self) -> dict[Modality, list[int]]:
        """Return the rows of items that have changed and could not be embedded again."""
        rows: dict[Modality, list[int]] = {}
        for (modality, _), number in self._changed.items():
            rows.setdefault(modality, []).append(number)
        return rows


def _lies_in_a_file(item: Item) -> bool:
    return isinstance(item.value, Blob) and str(item.value) != item.value.url


def _origin(item: Item) -> str:
    """Return the file, or corpus, that gave an item its id; "" where it is not known."""
    return item.value.url if _lies_in_a_file(item) else item.origin if item.own_id else ""


def _without_dots(path: str) -> str:
    """Return the path of a file as items are called now; indexes from before may have ``..``."""
    is_dotted = path.startswith("/") and "/../" in path
    return str(whole_path(Path(path))) if is_dotted else path
