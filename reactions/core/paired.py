"""Corpora whose rows belong together: what ``Ft`` tunes on."""

from __future__ import annotations

from typing import Protocol

from reactions.core.types import Corpus, Digest, Modality


class PairedCorpora(Protocol):
    """Corpora of several modalities, as many rows in each: row ``i`` of all belongs together."""

    @property
    def name(self) -> str:
        """For messages and progress lines."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What each pair has, sorted."""

    @property
    def digest(self) -> Digest:
        """Digest of everything that decides the items, their order and who belongs to whom."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know before they are used; empty if all of them are."""

    def __len__(self) -> int: ...

    def corpus(self, modality: Modality) -> Corpus:
        """Return one side; row ``i`` of each side belongs to row ``i`` of the others.

        Raises:
            DataError: the pairs do not have this modality.
        """
