"""Parts of a corpus: scanned rows, good and bad, in a table; values only when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reactions.core.addresses import is_url
from reactions.core.errors import MissingError
from reactions.core.hashing import digest
from reactions.core.storage import Blob
from reactions.core.types import Modality
from reactions.data.scan_cache import ScanTable, Strings
from reactions.modalities.values import text_tag


class CorpusPart(ABC):
    """Rows of one modality from one place.

    Args:
        name: short, for ids of corpora with several parts.
        table: columns ``id`` and ``why``: the reason a row cannot be used, "" for good ones.
        signature: changes when the files do; "" where that cannot be known.
        size_bytes: of what is read to embed the rows.
        own_ids: (len(table),) which rows come with their ids; the others' are their positions.
            True for all, False for none.
    """

    def __init__(
        self,
        name: str,
        table: ScanTable,
        signature: str,
        size_bytes: int,
        own_ids: NDArray[np.bool_] | bool = True,
    ) -> None:
        self.name = name
        self.table = table
        self.signature = signature
        self.size_bytes = size_bytes
        self._own_ids = own_ids

    def __len__(self) -> int:
        return len(self.table)

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the ids of some rows."""
        return self.table.strings("id").at(rows)

    def own_ids(self, rows: NDArray[np.int64]) -> list[bool]:
        """Return for some rows whether their ids are their own."""
        if isinstance(self._own_ids, bool):
            return [self._own_ids] * len(rows)
        return list(self._own_ids[rows].tolist())

    def with_verdicts(self, whys: Iterable[str]) -> Self:
        """Return the same rows with other reasons why they cannot be used, "" for good ones."""
        part = copy(self)
        part.table = ScanTable({**self.table.columns, "why": Strings.pack(whys)}, self.table.facts)
        return part

    def with_notices(self, notices: Sequence[str]) -> Self:
        """Return the same rows with more for people to know of how they were read."""
        if not notices:
            return self
        part = copy(self)
        facts = self.table.facts
        earlier = facts.get("notices", ())
        part.table = ScanTable(self.table.columns, {**facts, "notices": [*earlier, *notices]})
        return part

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which rows can be used."""
        good: NDArray[np.bool_] = self.table.strings("why").lengths == 0
        return good

    @abstractmethod
    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return the values of some rows."""

    @abstractmethod
    def tags(self, rows: NDArray[np.int64]) -> Iterable[str]:
        """Return the tagged content digests of some rows."""

    @abstractmethod
    def places(self, rows: NDArray[np.int64]) -> list[str]:
        """Return where some rows come from, for messages."""


class TextPart(CorpusPart):
    """Texts; the table's column ``text`` holds them, ``place`` where each comes from.

    A usable row without a text has only its id.
    """

    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return strings."""
        return [text or None for text in self.table.strings("text").at(rows)]

    def tags(self, rows: NDArray[np.int64]) -> Iterable[str]:
        """Return digests of the texts."""
        return [text_tag(text) if text else "id" for text in self.table.strings("text").at(rows)]

    def places(self, rows: NDArray[np.int64]) -> list[str]:
        """Return file and line of each."""
        return self.table.strings("place").at(rows)


class FilePart(CorpusPart):
    """One file a row; columns ``url`` and ``tag``. A row without a file has only its id.

    A column ``place`` says where rows come from, if not from their files.
    """

    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return paths, and blobs for what lies elsewhere."""
        urls, tags = self.table.strings("url").at(rows), self.table.strings("tag").at(rows)
        return [
            (Blob(url, tag=tag) if is_url(url) else Path(url)) if url else None
            for url, tag in zip(urls, tags, strict=True)
        ]

    def tags(self, rows: NDArray[np.int64]) -> Iterable[str]:
        """Return digests of the files, made when they were scanned."""
        return self.table.strings("tag").at(rows)

    def places(self, rows: NDArray[np.int64]) -> list[str]:
        """Return their paths."""
        return self.table.strings("place" if "place" in self.table.columns else "url").at(rows)


class ShardPart(CorpusPart):
    """Members of tars; columns ``shard``, ``offset``, ``size``, ``member`` and ``tag``.

    The table's fact ``shards`` lists the tars.
    """

    def values(self, rows: NDArray[np.int64]) -> list[Any]:
        """Return blobs."""
        shards: Sequence[str] = self.table.facts["shards"]
        columns = [self.table.numbers(name)[rows].tolist() for name in ("shard", "offset", "size")]
        members, tags = self.table.strings("member").at(rows), self.table.strings("tag").at(rows)
        return [
            Blob(shards[shard], offset, size, member, tag)
            for shard, offset, size, member, tag in zip(*columns, members, tags, strict=True)
        ]

    def tags(self, rows: NDArray[np.int64]) -> Iterable[str]:
        """Return digests of the members, made when they were scanned."""
        return self.table.strings("tag").at(rows)

    def places(self, rows: NDArray[np.int64]) -> list[str]:
        """Return tar and member of each."""
        return [str(blob) for blob in self.values(rows)]


def signature_of(parts: Iterable[str]) -> str:
    """Return the digest of what a table was made from; "" if any of it is ""."""
    parts = list(parts)
    return digest("signature", parts) if all(parts) else ""


class NoItemsError(MissingError):
    """A place is there, and holds nothing of a modality."""


def no_items(modality: Modality, where: str, why: str, fix: str) -> NoItemsError:
    """Return the error for a place that holds nothing of a modality."""
    return NoItemsError(
        f"no {modality} at '{where}'", why=why, fix=fix, path=where, modality=modality
    )
