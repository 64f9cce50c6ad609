"""Embed a stream of items, leaving out those that cannot be embedded, in constant memory.

A bad item is reported and left out; what would spoil every item (missing weights, a damaged
bundle) is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, MolspaceError, UsageError
from reactions.core.left_out import report
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem
from reactions.encoding.batch_size import MOST_ITEMS, BatchSize
from reactions.encoding.items import PreparedItem, windows
from reactions.encoding.stream import Stream
from reactions.inference.embedder import WINDOW_BYTES, Embedder

if TYPE_CHECKING:
    from numpy.typing import NDArray


def embed_stream(
    embedder: Embedder,
    items: Iterable[Item | Problem],
    *,
    batch_items: int = 64,
    on_problem: Callable[[Problem], None],
    read_ahead: bool = False,
) -> Iterator[tuple[list[Item], NDArray[np.float32]]]:
    """Embed items of any mix of modalities, in order, a window at a time.

    Threads decode items, each once whatever the number of encoders. When a batch fails it is
    halved until the items at fault are alone; they are reported and left out.

    Args:
        embedder: loads encoders when an item first needs them.
        items: from ``read_inputs``, ``read_stream``, or anywhere; ids may repeat.
        batch_items: at most so many are embedded together.
        on_problem: called for each item that is left out, in order; ``line_number`` is 0
            where the item was read but could not be embedded.
        read_ahead: whether items are read and decoded while earlier ones are embedded. Otherwise
            no item is read before a window is full and embedded: right where reading may wait.

    Yields:
        Items as they were given, (n, dim) float32 unit-norm rows; n >= 1.

    Raises:
        MissingError: weights are missing.
        DataError: weights are damaged, or the input cannot be read.
        StepError: a single item does not fit into memory.
    """
    stream = _SkippingStream(embedder, on_problem)
    try:
        if read_ahead:
            yield from stream.embed(items, batch_items)
            return
        rest = iter(items)
        # Items are prepared ahead by threads, which would read past the window and, on a pipe,
        # wait there: so each window's input ends with the window.
        for first in rest:
            yield from stream.embed(chain([first], islice(rest, batch_items - 1)), batch_items)
    finally:
        report(stream.tally.all())


class _SkippingStream(Stream):
    """A stream in which an item that cannot be embedded becomes a ``Problem``."""

    def __init__(self, embedder: Embedder, on_problem: Callable[[Problem], None]) -> None:
        super().__init__(embedder, device=embedder.device)
        self._embedder = embedder
        self._on_problem = on_problem
        self._refusals: dict[Modality, str] = {}

    def embed(
        self, items: Iterable[Item | Problem], batch_items: int
    ) -> Iterator[tuple[list[Item], NDArray[np.float32]]]:
        """Embed items, a window at a time."""
        with closing(self.prepared(self._readable(items))) as prepared:
            for window in windows(prepared, most_items=batch_items, most_bytes=WINDOW_BYTES):
                yield from self._embed_window(window)

    def _readable(self, items: Iterable[Item | Problem]) -> Iterator[Item]:
        """Load what items need; what gives no item takes its place, and has no modality."""
        usable: set[Modality] = set()
        for item in items:
            if isinstance(item, Problem):
                yield Item(item.id, "", item)
            elif item.modality in usable:
                yield item
            elif refusal := self._refusal(item.modality):
                yield Item(item.id, "", Problem(0, item.id, refusal))
            else:
                usable.add(item.modality)
                yield item

    def size(self, modality: Modality) -> BatchSize:
        """Return the size of the next batch of a modality."""
        return super().size(modality) if modality else BatchSize(MOST_ITEMS)

    def _refusal(self, modality: Modality) -> str:
        """Load what a modality needs; return why the space does not embed it, or ""."""
        if modality not in self._refusals:
            self._refusals[modality] = ""
            try:
                self._embedder.load(modality)
            except UsageError as error:
                self._refusals[modality] = _message(error)
        return self._refusals[modality]

    def prepare(self, item: Item) -> Any:
        """Return what the encoders take of an item, or why it cannot be used."""
        if isinstance(item.value, Problem):
            return item.value
        try:
            return super().prepare(item)
        except DataError as error:
            return Problem(0, item.id, _message(error))

    def _embed_window(
        self, window: Sequence[PreparedItem]
    ) -> Iterator[tuple[list[Item], NDArray[np.float32]]]:
        rows: dict[int, NDArray[np.float32]] = {}
        problems = {
            entry.place: entry.value for entry in window if isinstance(entry.value, Problem)
        }
        self._embed_entries([e for e in window if e.place not in problems], rows, problems)
        for _, problem in sorted(problems.items()):
            self._on_problem(problem)
        good = [entry for entry in window if entry.place in rows]
        if good:
            yield [entry.item for entry in good], np.stack([rows[entry.place] for entry in good])

    def _embed_entries(
        self,
        entries: Sequence[PreparedItem],
        rows: dict[int, NDArray[np.float32]],
        problems: dict[int, Problem],
    ) -> None:
        """Fill in the row of each place, or its problem, halving what fails."""
        try:
            for batch in self.forward(entries):
                self._embedder.check(batch)
                rows.update(zip(batch.places, batch.rows, strict=True))
        except DataError as error:
            # Batches before the one that failed have filled in their rows.
            failed = [entry for entry in entries if entry.place not in rows]
            if len(failed) == 1:
                problems[failed[0].place] = Problem(0, failed[0].item.id, _message(error))
                return
            middle = len(failed) // 2
            self._embed_entries(failed[:middle], rows, problems)
            self._embed_entries(failed[middle:], rows, problems)


def _message(error: MolspaceError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what
