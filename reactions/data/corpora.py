"""Corpora in memory: texts, decoded or named items, and bare ids.

All corpora share one digest rule, so the same items give the same digest wherever they
came from: the modality, then for each row its id and a tag and digest of its content.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

from reactions.core.errors import DataError
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import canonical
from reactions.core.types import Corpus, Digest, Item, Modality
from reactions.modalities.registry import content_digest
from reactions.modalities.text import TEXT
from reactions.modalities.values import text_tag

_BLOCK_ROWS = 1 << 12


class ListCorpus:
    """Items held in a list.

    Args:
        name: for messages and progress lines.
        modality: of every item.
        items: at least one, with distinct ids.
        digests: remembers digests of media files.

    Raises:
        DataError: no items, a repeated id, or an item of another modality.
    """

    def __init__(
        self,
        name: str,
        modality: Modality,
        items: Sequence[Item],
        *,
        digests: DigestCache | None = None,
    ) -> None:
        self.name = name
        self.modality = modality
        self._items = list(items)
        self._digests = digests or DigestCache()
        for item in self._items:
            if item.modality != modality:
                raise DataError(
                    f"corpus '{name}' of {modality} holds an item of {item.modality}",
                    id=item.id,
                    corpus=name,
                )
        check_ids(name, modality, [item.id for item in self._items])

    @cached_property
    def digest(self) -> Digest:
        """Digest of ids, contents and order; media files are hashed byte by byte."""
        rows = ((item.id, content_digest(item, self._digests)) for item in self._items)
        digest = rows_digest(self.modality, rows)
        self._digests.save()
        return digest

    def __len__(self) -> int:
        return len(self._items)

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the items of rows ``start`` to ``stop`` (exclusive), in order."""
        return self._items[start:stop]

    def ids(self) -> list[str]:
        """Return the ids of all items, in order."""
        return [item.id for item in self._items]


class TextCorpus:
    """Texts held in a list.

    Args:
        name: for messages and progress lines.
        texts: at least one.
        ids: one for each text, distinct; the row numbers if not given.

    Raises:
        DataError: no texts, a repeated id, or ids that do not match the texts in number.
    """

    modality: Modality = TEXT.name

    def __init__(self, name: str, texts: Sequence[str], ids: Sequence[str] | None = None) -> None:
        self.name = name
        self._texts = list(texts)
        self._own_ids = ids is not None
        self._ids = [str(row) for row in range(len(self._texts))] if ids is None else list(ids)
        if len(self._ids) != len(self._texts):
            raise DataError(
                f"corpus '{name}' has {len(self._ids)} ids for {len(self._texts)} texts",
                corpus=name,
                n_ids=len(self._ids),
                n_items=len(self._texts),
            )
        check_ids(name, self.modality, self._ids)

    @cached_property
    def digest(self) -> Digest:
        """Digest of ids, texts and order."""
        pairs = zip(self._ids, self._texts, strict=True)
        return rows_digest(self.modality, ((id, text_tag(text)) for id, text in pairs))

    def __len__(self) -> int:
        return len(self._texts)

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the items of rows ``start`` to ``stop`` (exclusive), in order."""
        pairs = zip(self._ids[start:stop], self._texts[start:stop], strict=True)
        return [Item(id, self.modality, text, self._own_ids) for id, text in pairs]

    def ids(self) -> list[str]:
        """Return the ids of all texts, in order."""
        return list(self._ids)


class IdCorpus:
    """Bare ids, for spaces that look their embeddings up by id.

    Args:
        name: for messages and progress lines.
        modality: of the embeddings.
        ids: at least one, distinct.
        notices: what the user should know of them before they are used.
        positional: whether the ids are only row numbers, given by us.

    Raises:
        DataError: no ids, or a repeated one.
    """

    def __init__(
        self,
        name: str,
        modality: Modality,
        ids: Sequence[str],
        notices: Sequence[str] = (),
        *,
        positional: bool = False,
    ) -> None:
        self.name = name
        self.modality = modality
        self.notices = tuple(notices)
        self.positional = positional
        self._ids = list(ids)
        check_ids(name, modality, self._ids)

    @cached_property
    def digest(self) -> Digest:
        """Digest of ids and order."""
        return rows_digest(self.modality, ((id, "id") for id in self._ids))

    def __len__(self) -> int:
        return len(self._ids)

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the items of rows ``start`` to ``stop`` (exclusive), in order."""
        return [Item(id, self.modality, None) for id in self._ids[start:stop]]

    def ids(self) -> list[str]:
        """Return all ids, in order."""
        return list(self._ids)


def check_ids(name: str, modality: Modality, ids: Sequence[str]) -> None:
    """Check that a corpus has items and that their ids are distinct.

    Raises:
        DataError: no ids, or a repeated one.
    """
    if not ids:
        raise DataError(f"corpus '{name}' is empty", why=f"it has no {modality} items", corpus=name)
    if len(set(ids)) < len(ids):
        repeated = [id for id, count in Counter(ids).items() if count > 1]
        raise DataError(
            f"corpus '{name}' repeats {len(repeated)} of its {modality} ids, first '{repeated[0]}'",
            fix="give every item its own id",
            corpus=name,
            ids=repeated[:5],
        )


def rows_digest(modality: Modality, rows: Iterable[tuple[str, str]]) -> Digest:
    """Return the digest of a corpus from its (id, content digest) rows, streamed."""
    sha = hashlib.sha256(f"molspace:corpus\n{canonical(modality)}\n".encode())
    for row in rows:
        sha.update(f"{canonical(row)}\n".encode("utf-8", "surrogatepass"))
    return sha.hexdigest()


def ids_of(corpus: Corpus) -> list[str]:
    """Return the ids of all rows of a corpus, in order, without their values where it can."""
    if callable(ids := getattr(corpus, "ids", None)):
        all_ids: list[str] = ids()
        return all_ids
    blocks = range(0, len(corpus), _BLOCK_ROWS)
    return [item.id for start in blocks for item in corpus.items(start, start + _BLOCK_ROWS)]
