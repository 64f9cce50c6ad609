"""What adding items to an index did, and what a person should know of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reactions.core.types import Modality
from reactions.search.index import SearchIndex

_NAMED: Final = 3
"""Items that a sentence names."""


@dataclass(frozen=True, slots=True)
class Added:
    """What adding items did.

    Attributes:
        index: as it is now.
        added: modality to new items.
        replaced: modality to items whose contents had changed.
        kept: items that were there already, unchanged.
        skipped: items that could not be embedded.
        outdated: those of them that were there with other contents, and are taken out.
        unprefixed: items that are called by their paths or texts, before which no prefix stands.
        unplaced: modality and id of replaced items of which it is not known whether they are of one
            set; see ``KnownItems``.
    """

    index: SearchIndex
    added: Mapping[Modality, int]
    replaced: Mapping[Modality, int]
    kept: int
    skipped: int
    outdated: int = 0
    unprefixed: int = 0
    unplaced: Sequence[tuple[Modality, str]] = ()

    @property
    def notices(self) -> list[str]:
        """What a person should know of what items are called, a sentence each."""
        return [*self._of_prefixes(), *self._of_replaced()]

    def _of_prefixes(self) -> Iterator[str]:
        if n := self.unprefixed:
            called = (
                "1 item is called by its path or text, which has"
                if n == 1
                else f"{n:,} items are called by their paths or texts, which have"
            )
            yield f"{called} no prefix"

    def _of_replaced(self) -> Iterator[str]:
        if n := len(self.unplaced):
            named = [f"{modality} '{id}'" for modality, id in self.unplaced[:_NAMED]]
            more = f" and {n - _NAMED:,} more" if n > _NAMED else ""
            took = (
                "1 item took the place of one"
                if n == 1
                else f"{n:,} items took the place of others"
            )
            yield (
                f"{took} of the same id with other contents, and whether both are of one set is "
                f"not known: {', '.join(named)}{more}; if not, index the other set again, with "
                "--prefix NAME before its ids"
            )
