"""Items as the rows of a table list them: by their ids, several rows of some."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.errors import DataError
from reactions.core.types import Modality
from reactions.data.sources.parquet_media import FoundMedia
from reactions.data.sources.sides import Side, set_apart
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.text_values import captions_in
from reactions.modalities.text import TEXT


def ids_in(values: Sequence[object]) -> list[tuple[str, str]]:
    """Return the ids in the fields of a row, each with the reason it cannot be used, or ""."""
    texts = {
        column: str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for column, value in enumerate(values)
    }
    found = captions_in(texts, range(len(texts)))
    return [("", f"its id: {why}") if why else (id, "") for id, why in found]


class NamedPartners:
    """Right items of retrieval that are named by the ids of their embeddings: each has one row.

    Args:
        query: modality of the left items.
        other: of the right ones.
    """

    def __init__(self, query: Modality, other: Modality) -> None:
        self._query, self._other = query, other
        self._owner_of: dict[str, str] = {}
        self._n_repeated = 0
        self._refused: list[str] = []

    def has(self, owner: str, id: str) -> bool:
        """Return whether a pair was there before, and count it."""
        is_repeated = bool(id) and self._owner_of.get(id) == owner
        self._n_repeated += is_repeated
        return is_repeated

    def why_not(self, owner: str, id: str) -> str:
        """Return why an item cannot be another's partner, too; it is that of the first."""
        if (first := self._owner_of.setdefault(id, owner)) == owner:
            return ""
        self._refused.append(f"{self._other} '{id}' stands beside {self._query} '{first}' already")
        return self._refused[-1]

    def refuse_shared(self, task: str) -> None:
        """Refuse a table in which most items are partners of several: it is to be turned round.

        Raises:
            DataError: they are.
        """
        if len(self._refused) <= len(self._owner_of):
            return
        turned = f"--columns {self._other}=COLUMN before --columns {self._query}=COLUMN"
        raise DataError(
            f"most {self._other} ids of task '{task}' stand beside several {self._query} items",
            why=f"{self._refused[0]}; of one {self._query} there may be several {self._other} "
            "items, not the other way round",
            fix="if they are classes: --labels FILE --columns class=COLUMN"
            if self._other == TEXT.name
            else f"name {self._other} first: {turned}",
            task=task,
        )

    @property
    def remarks(self) -> list[str]:
        """What to say of pairs that came again."""
        if not self._n_repeated:
            return []
        times = "1 pair is" if self._n_repeated == 1 else f"{self._n_repeated} pairs are"
        return [f"{times} in the table once more, and each pair counts once"]


class RepeatedItems:
    """The items of a table, by their ids: several rows may be of one of them."""

    def __init__(self) -> None:
        self._content: dict[str, str] = {}
        self._shared: set[str] = set()
        self._merged: list[tuple[str, TableRow, str]] = []

    def id_of(self, id: str, item: FoundMedia, row: TableRow) -> tuple[str, str]:
        """Return an item's id, and why its row says nothing of an item."""
        if row.why or (item.why and not item.name and item.cell is None):
            return id, row.why or item.why
        content = item.cell.tag if item.cell else item.held or item.name
        if self._content.setdefault(id, content) == content:
            return id, ""
        if (item.cell or item.held) and not row.id:
            # The name that a field's bytes once had need not be theirs alone.
            self._shared.add(id)
            return set_apart(id, row), ""
        return id, f"its id is that of '{self._content[id]}', which is another file"

    def merge(self, id: str, item: FoundMedia, row: TableRow) -> None:
        """Note a further row of an item: only its name says whose a field is that is damaged."""
        if item.held and not row.id:
            self._merged.append((id, row, item.why))

    def part(self, side: Side) -> None:
        """List damaged fields one by one where their name turned out to be that of others too."""
        for id, row, why in self._merged:
            if id in self._shared:
                side.add(set_apart(id, row), row.place, why=why)
