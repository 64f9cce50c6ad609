"""What an index holds of an item, and what a search finds."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reactions.core.local_files import exists, is_file
from reactions.core.remote import url_name
from reactions.core.storage import Blob
from reactions.core.types import Item, Modality
from reactions.data.parquet_cells import ParquetCell
from reactions.modalities.registry import get

_LONGEST_SOURCE = 10_000
"""Characters of a text that an index keeps to show it."""


@dataclass(frozen=True, slots=True)
class IndexedItem:
    """An item of an index.

    Attributes:
        id: as the input gave it; unique within its modality in an index.
        modality: which.
        source: the text itself, or the path or address of a file, of a tar's member behind that of
            the tar; "" for what lies nowhere.
        digest: of its contents.
        within: the path or address of the tar or parquet file that it lies in; "" for what is a
            file of its own, or none, and in indexes of versions before this was kept.
        place: where in ``within`` it lies: a member's offset and size in bytes, and ""; or a row,
            from 0, the size and the column.
        origin: the file, or corpus, that gave it its id, where it does not lie in one: of captions
            of tars and tables, and of lines; "" in indexes of versions before this was kept.
    """

    id: str
    modality: Modality
    source: str
    digest: str
    within: str = ""
    place: tuple[int, int, str] = (0, 0, "")
    origin: str = ""

    @classmethod
    def of(cls, item: Item, digest: str) -> IndexedItem:
        """Describe an item."""
        value, source, within, place = item.value, "", "", (0, 0, "")
        if isinstance(value, str):
            source = value[:_LONGEST_SOURCE]
        elif isinstance(value, Path):
            source = str(value.absolute())
        elif isinstance(value, Blob):
            source = str(value)
            if source != value.url:
                within, place = value.url, (value.offset, value.size_bytes or 0, "")
            if isinstance(value, ParquetCell):
                place = (value.row, value.size_bytes or 0, value.column)
        origin = item.origin if item.own_id and not within else ""
        return cls(item.id, item.modality, source, digest, within, place, origin)

    @property
    def part(self) -> Blob | None:
        """What is read of the file it lies in; None for what is not part of one, or not known."""
        start, size_bytes, column = self.place
        if start < 0:
            return None
        if column:
            return ParquetCell(self.within, size_bytes=size_bytes or None, row=start, column=column)
        return Blob(self.within, start, size_bytes, self.source) if size_bytes else None

    @property
    def label(self) -> str:
        """What a person reads: a text itself, else the name of a file, else the id.

        What lies in a file is called by both: ``A.tar#B.png`` by the member's name, and
        ``A.parquet#ID`` by the row's id, or its number where it has none.
        """
        if self.source and get(self.modality).inline:
            return self.source
        if self.within:
            # Behind the file's name stands "/MEMBER" of a tar, ":ROW" of a parquet file.
            sign, part = self.source[len(self.within)], self.source[len(self.within) + 1 :]
            has_id = sign == ":" and not self.id.endswith(f":{part}")
            return f"{url_name(self.within)}#{self.id if has_id else part}"
        return self.source.rpartition("/")[2] or self.id

    @property
    def is_gone(self) -> bool:
        """Whether it was a file of this machine, or lay in one, that is not there any more.

        ``A.tar/B.png`` and ``A.parquet:3`` are there as long as the file ``A`` is: nothing is
        opened to look.
        """
        path = Path(self.source)
        if get(self.modality).inline or not path.is_absolute() or exists(path):
            return False
        if self.within:
            return not is_file(Path(self.within))
        holder = Path(_ROW.sub("", self.source))
        return not any(is_file(place) for place in (holder, *path.parents))


_ROW = re.compile(r":\d+$")
"""What is behind the name of a parquet file: the number of a row."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An item that a search found.

    Attributes:
        rank: from 1.
        score: cosine of query and item at the factors of the search.
        item: what was found.
        number: of its row, among those of its modality.
    """

    rank: int
    score: float
    item: IndexedItem
    number: int

    def to_json(self) -> dict[str, Any]:
        """Return the hit as a JSON object."""
        facts = asdict(self.item)
        del facts["place"], facts["origin"]
        return {
            "rank": self.rank,
            "score": round(self.score, 6),
            **facts,
            "label": self.item.label,
            "number": self.number,
        }
