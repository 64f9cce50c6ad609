"""Corpora that know the contents of their items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class ScannedCorpus(Protocol):
    """What a corpus adds that knows the contents of its items without opening them.

    Rows that were made of its items are found again in other corpora.
    """

    def tags(self) -> Iterator[tuple[str, str]]:
        """Yield id and tagged content digest of every item, in order."""
