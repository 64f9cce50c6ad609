"""Encode a stream of items: preparing runs ahead of the forward pass, batches fit memory.

Threads decode and preprocess items while the encoder works on earlier ones. Texts are
sorted by length within a window, so that little is padded; a batch names the places of its
rows. What goes into a batch, and how many, changes embeddings by rounding only: an encoder
must not let one item see another, nor its padding.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.addresses import is_url
from reactions.core.errors import MediaError, MolspaceError, StepError
from reactions.core.left_out import Tally, gathered, limits_of
from reactions.core.storage import Blob
from reactions.core.types import Encoder, Item, Modality, Prepared, StagedEncoder
from reactions.encoding.batch_size import (
    BatchSize,
    SizedEncoder,
    flops_per_item,
    free_device_memory,
    is_out_of_memory,
    size_for,
    too_large,
)
from reactions.encoding.items import (
    CHUNK_ITEMS,
    PIECE_ITEMS,
    Batch,
    CorpusRange,
    Piece,
    PreparedItem,
    n_tokens,
    pieces_of,
    size_bytes,
)
from reactions.encoding.prefetch import MOST_WORKERS, ahead, default_workers
from reactions.modalities import registry
from reactions.modalities.encoded import ENCODED

if TYPE_CHECKING:
    from numpy.typing import NDArray

AHEAD_ITEMS: Final = 2048
AHEAD_BYTES: Final = 256 << 20
"""What is prepared and not yet in a batch stays below both, four threads at a time: more of them,
as feed a GPU, have as much more room, for else they would wait for it."""

WINDOW_ITEMS: Final = 2048
"""Texts sorted by length together, at most."""

LIGHT_FLOPS: Final = 1e8
"""On the CPU an encoder with fewer operations takes no longer than decoding an item.

So it leaves cores to decoding; and its texts are tokenised in turn, for the interpreter that
tokenises them is the one that calls it.
"""


def encode(
    encoder: Encoder,
    items: Iterable[Item],
    *,
    device: str = "cpu",
    workers: int | None = None,
    tally: Tally | None = None,
) -> Generator[Batch]:
    """Embed a stream of items; close the iterator to stop early.

    Encoders other than a ``StagedEncoder`` prepare items themselves; only taking items from a
    corpus runs ahead for them.

    Args:
        encoder: of a space that has the items' modalities.
        items: a ``CorpusRange``, or any iterable, which is read in the calling thread.
        device: where the encoder computes.
        workers: threads that prepare; by default as ``default_workers`` says, but none for the
            texts of light encoders.
        tally: counts what is left out of the items of the batches so far.

    Yields:
        Batches that cover every item once.

    Raises:
        MediaError: an item cannot be decoded; ``fields["id"]`` names it. Raised as soon as it
            is known, whatever comes before the item.
        StepError: an item does not fit into memory, or its preparation broke;
            ``fields["id"]`` names it.
        UsageError: $MOLSPACE_WORKERS is not a number.
    """
    stream = Stream(encoder, device=device, workers=workers, tally=tally)
    waiting: list[PreparedItem] = []
    window = 0
    with closing(stream.prepared(items)) as prepared, ExitStack() as lent:
        for number, entries in enumerate(prepared):
            # Whether items are decoded shows only once the first are prepared.
            if number == 0 and stream.is_mostly_decoding:
                lent.enter_context(_cores_for_decoding())
            waiting += entries
            # The first window is one batch, so that the encoder need not wait while a long one
            # fills.
            while waiting:
                n = max(stream.size(waiting[0].item.modality).items, window)
                if len(waiting) < n:
                    break
                full, waiting = waiting[:n], waiting[n:]
                yield from stream.forward(full)
                if any(map(n_tokens, full)):
                    window = min(WINDOW_ITEMS, 2 * n)
        yield from stream.forward(waiting)


class Stream:
    """Items on their way through an encoder: prepared ahead, in order; then embedded in batches.

    Args:
        encoder: of a space that has the items' modalities.
        device: where it computes.
        workers: see ``encode``.
        tally: see ``encode``.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        device: str = "cpu",
        workers: int | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self._encoder = encoder
        self._staged = encoder if isinstance(encoder, StagedEncoder) else None
        self._device = device
        self._workers = workers
        self._sizes: dict[Modality, BatchSize] = {}
        self._is_ahead = False
        self._decodes = False
        self._is_light = False

    @property
    def is_mostly_decoding(self) -> bool:
        """Whether items are decoded ahead for an encoder that takes no longer than that."""
        return self._is_ahead and self._is_light and self._decodes

    def size(self, modality: Modality) -> BatchSize:
        """Return the size of the next batch of a modality, to learn from what happens."""
        if isinstance(self._encoder, SizedEncoder):
            return self._encoder.batch_size(modality)
        if modality not in self._sizes:
            self._sizes[modality] = size_for(self._encoder, modality)
        return self._sizes[modality]

    def prepared(self, items: Iterable[Item]) -> Generator[list[PreparedItem]]:
        """Prepare items before they are taken; close the iterator to stop the threads.

        Args:
            items: see ``encode``.

        Yields:
            Entries, in the order of the items.

        Raises:
            MolspaceError: what ``prepare`` raises, with the item's id.
        """
        if isinstance(items, CorpusRange):
            corpus, first = items.corpus, items.start
            # A single row, which is loaded again in its turn: loading may mean rendering.
            sample = corpus.items(first, min(items.stop, first + 1))
            # Small pieces of what is remote, so that threads read close to one another.
            most = PIECE_ITEMS if _is_remote(sample) else CHUNK_ITEMS
        else:
            rest = iter(items)
            sample = list(islice(rest, PIECE_ITEMS))
            items = chain(sample, rest)
            most = PIECE_ITEMS
        if not sample:
            return
        modality = sample[0].modality
        self._is_light = (
            self._device == "cpu" and 0 < flops_per_item(self._encoder, modality) < LIGHT_FLOPS
        )
        workers = self._workers
        if workers is None:
            is_text = all(isinstance(item.value, str) for item in sample)
            workers = 0 if self._is_light and is_text else default_workers(self._device)
        self._is_ahead = workers > 0
        n_items = self.size(modality).items
        room = max(1, workers // MOST_WORKERS)
        if workers:
            n_items = min(n_items, most)
        yield from ahead(
            self._entries,
            pieces_of(items, n_items),
            workers=workers,
            depth=max(2, room * AHEAD_ITEMS // n_items),
            limit_bytes=room * AHEAD_BYTES,
            weigh=lambda entry: size_bytes(entry.value),
        )

    def _entries(self, piece: Piece) -> Iterator[PreparedItem]:
        """Prepare the items of a piece one by one; runs in several threads."""
        places, load = piece
        for place, item in zip(places, load(), strict=True):
            # Without a lock: threads only ever turn it on.
            self._decodes = self._decodes or isinstance(item.value, ENCODED)
            try:
                with gathered() as notes:
                    value = self.prepare(item)
            except MolspaceError as error:
                error.fields.setdefault("id", item.id)
                if isinstance(error, MediaError):
                    error.fix = error.fix or registry.skip(item)
                    if (
                        item.own_id
                        and item.id not in f"{error.what} {error.fields.get('path', '')}"
                    ):
                        error.what += f": '{item.id}'"
                raise
            yield PreparedItem(place, item, value, tuple(notes))

    def prepare(self, item: Item) -> Any:
        """Return what the encoder takes of an item; runs in several threads.

        Raises:
            MolspaceError: the encoder cannot prepare it.
            StepError: it does not fit into memory, or its preparation broke.
        """
        if self._staged is None:
            return item
        try:
            return self._staged.preprocess(item.modality, item)
        except MolspaceError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise too_large(item) from error
            raise StepError(
                f"cannot prepare {item.modality} '{item.id}'",
                why=f"{type(error).__name__}: {error}".splitlines()[0],
                fix="leave the item out, or fix the encoder",
                id=item.id,
            ) from error

    def forward(self, entries: Sequence[PreparedItem]) -> Iterator[Batch]:
        """Embed prepared items, a modality after the other, longest first where they have lengths.

        Raises:
            StepError: an item does not fit into memory even alone.
            Exception: whatever the encoder raises for a batch.
        """
        by_modality: dict[Modality, list[PreparedItem]] = {}
        for entry in entries:
            by_modality.setdefault(entry.item.modality, []).append(entry)
        for modality, waiting in by_modality.items():
            # Longest first: a number that fits into memory once also fits for the shorter texts.
            waiting.sort(key=n_tokens, reverse=True)  # stable: others keep their order
            first = 0
            while first < len(waiting):
                size = self.size(modality)
                batch = waiting[first : first + size.items]
                rows = self._try(modality, batch, size)
                if rows is None:
                    size.shrink(len(batch))
                    # Not while the error is handled: its traceback keeps the batch's tensors.
                    free_device_memory(self._device)
                    continue
                places = [entry.place for entry in batch]
                limits = limits_of(self._encoder, modality)
                self.tally.add(modality, limits, [entry.notes for entry in batch])
                yield Batch(modality, places, [entry.item.id for entry in batch], rows)
                first += len(batch)

    def _try(
        self, modality: Modality, batch: Sequence[PreparedItem], size: BatchSize
    ) -> NDArray[np.float32] | None:
        """Embed a batch; None if it does not fit into memory."""
        values = [entry.value for entry in batch]
        try:
            if self._staged is None:
                return self._encoder.embed(modality, values)
            if not self._device.startswith("cuda"):
                return self._staged.forward(modality, values)
            return self._measured(self._staged, modality, values, size)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise too_large(batch[0].item) from error
            return None

    def _measured(
        self,
        encoder: StagedEncoder,
        modality: Modality,
        values: Sequence[Prepared],
        size: BatchSize,
    ) -> NDArray[np.float32]:
        import torch

        memory = torch.cuda
        memory.reset_peak_memory_stats(self._device)
        before_bytes = memory.memory_allocated(self._device)
        rows = encoder.forward(modality, values)
        peak_bytes = memory.max_memory_allocated(self._device) - before_bytes
        # What torch's allocator holds and does not use counts as taken on the device, and is ours.
        unused_bytes = memory.memory_reserved(self._device) - memory.memory_allocated(self._device)
        free_bytes = memory.mem_get_info(self._device)[0] + unused_bytes
        size.grow(len(values), peak_bytes, free_bytes)
        return rows


def _is_remote(items: Sequence[Item]) -> bool:
    return any(isinstance(item.value, Blob) and is_url(item.value.url) for item in items)


@contextmanager
def _cores_for_decoding() -> Iterator[None]:
    """Leave half of torch's threads to those that decode.

    For encoders that are light by what they say of themselves, not by the clock: with the
    number of threads, rounding may change.
    """
    # Light encoders may do without torch: it is not imported for this.
    if (torch := sys.modules.get("torch")) is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)
