"""Searching an index with items: its product's encoders, and its rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from reactions.core.errors import MissingError
from reactions.core.types import Item, Modality
from reactions.inference.embedder import LoadedParts
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.search.hits import Hit
from reactions.search.index import SearchIndex
from reactions.search.made_by import check_made_by
from reactions.search.record import read_record
from reactions.session import Session


class Searcher:
    """An index with what embeds queries; encoders stay loaded, and threads may share it.

    Args:
        session: whose device.
        target: the product that made the index.
        index: opened.
        parts: encoders that are loaded already.
    """

    def __init__(
        self,
        session: Session,
        target: Target,
        index: SearchIndex,
        parts: LoadedParts | None = None,
    ) -> None:
        self.index = index
        self._session = session
        self._target = target
        self._parts = parts or session.parts(target)

    def search(
        self,
        items: Sequence[Item],
        *,
        into: Modality | None = None,
        k: int = 10,
        adjustment: Adjustment = NO_ADJUSTMENT,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Return what is nearest to each item, nearest first; see ``SearchIndex.search``.

        Args:
            items: queries, of any mix of modalities.
            into: the modality that is searched; None searches all.
            k: how many.
            adjustment: factors and experts, of queries and index alike.
            exact: whether to compare every row in any case.

        Raises:
            UsageError: a query's modality is not embedded, or see ``SearchIndex.search``.
            MediaError: a query cannot be decoded.
        """
        embedder = self._session.embedder(self._target, adjustment, parts=self._parts)
        hits: list[list[Hit]] = []
        for modality, group in groupby(items, key=lambda item: item.modality):
            rows = embedder.embed(modality, list(group))
            hits += self.index.search(rows, into=into, k=k, adjustment=adjustment, exact=exact)
        return hits


def target_of(session: Session, directory: Path, bundle: str | None = None) -> Target:
    """Return the product that made an index.

    Args:
        session: where spaces are looked for.
        directory: of the index.
        bundle: where its bundle lies now; None: where it lay when the index was made.

    Raises:
        MissingError: there is no index, or no bundle where it lay.
        UsageError: the bundle is another one.
    """
    record = read_record(directory)
    try:
        target = session.target(bundle or record.bundle or record.name, naming="--bundle")
    except MissingError as error:
        if bundle is not None or not record.bundle:
            raise
        raise MissingError(
            f"the bundle of the index '{directory}' is not where it was",
            why=error.what,
            fix="--bundle DIR, where it is now",
            path=record.bundle,
        ) from None
    check_made_by(record, target, directory)
    return target
