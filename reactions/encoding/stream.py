"""Encode a range of a corpus: preparing runs ahead of the forward pass, batches fit memory.

Threads decode and preprocess items while the encoder works on earlier ones. Texts are
sorted by length within a window, so that little is padded; batches are told with the rows
they belong to. What goes into a batch, and how many, changes embeddings by rounding only:
an encoder must not let one item see another, nor its padding.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import numpy as np

from reactions.core.errors import MediaError, MolspaceError, StepError
from reactions.core.types import Corpus, Encoder, Item, Modality, Prepared, StagedEncoder
from reactions.encoding.batch_size import (
    MOST_ITEMS,
    BatchSize,
    free_device_memory,
    is_out_of_memory,
    start_items,
    too_large,
)
from reactions.encoding.prefetch import ahead, default_workers
from reactions.modalities import registry
from reactions.modalities.encoded import ENCODED
from reactions.modalities.values import value_size_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_ITEMS: Final = 128
"""Items a thread takes at once: corpora that generate theirs do so many at a time."""

AHEAD_ITEMS: Final = 2048
AHEAD_BYTES: Final = 256 << 20
"""What is prepared and not yet in a batch stays below both."""

WINDOW_ITEMS: Final = 2048
"""Texts sorted by length together, at most."""

LIGHT_FLOPS: Final = 1e8
"""On the CPU an encoder with fewer operations takes no longer than decoding an item.

So it leaves cores to decoding; and its texts are tokenised in turn, for the interpreter that
tokenises them is the one that calls it.
"""

_SIZES: WeakKeyDictionary[Encoder, dict[Modality, BatchSize]] = WeakKeyDictionary()
"""What was learned about encoders that are loaded, for their next range."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some embedded items.

    Attributes:
        places: rows of the corpus, in any order.
        ids: of the same items.
        rows: (n, dim), whatever the encoder gave for them.
    """

    places: list[int]
    ids: list[str]
    rows: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Entry:
    place: int
    id: str
    value: Prepared | Item  # an item where the encoder prepares none


def encode(
    encoder: Encoder,
    corpus: Corpus,
    start: int,
    stop: int,
    *,
    device: str = "cpu",
    workers: int | None = None,
) -> Generator[Batch]:
    """Embed rows ``start`` to ``stop`` of a corpus; close the iterator to stop early.

    Encoders that are no ``StagedEncoder`` prepare items themselves; only what the corpus
    has to do for them runs ahead.

    Args:
        encoder: of a space that has the corpus's modality.
        corpus: its items are taken by one thread at a time.
        start: first row.
        stop: row after the last.
        device: where the encoder computes.
        workers: threads that prepare; by default as ``default_workers`` says, but none for the
            texts of light encoders.

    Yields:
        Batches that cover every row once.

    Raises:
        MediaError: an item cannot be decoded; ``fields["id"]`` names it. Raised as soon as it
            is known, whatever comes before the item.
        StepError: an item does not fit into memory, or its preparation broke;
            ``fields["id"]`` names it.
        UsageError: $MOLSPACE_WORKERS is not a number.
    """
    run = _Run(encoder, corpus, device)
    light = device == "cpu" and 0 < _flops(encoder, corpus.modality) < LIGHT_FLOPS
    if workers is None:
        workers = 0 if light and _is_text(corpus, start, stop) else default_workers()
    chunk = min(CHUNK_ITEMS, run.size.items) if workers else run.size.items
    prepared = ahead(
        run.prepare,
        ((first, min(stop, first + chunk)) for first in range(start, stop, chunk)),
        workers=workers,
        depth=max(2, AHEAD_ITEMS // chunk),
        limit_bytes=AHEAD_BYTES,
        weigh=lambda entry: _size_bytes(entry.value),
    )
    waiting: list[_Entry] = []
    window = 0
    with closing(prepared), ExitStack() as lent:
        for number, entries in enumerate(prepared):
            if number == 0 and light and run.decodes and workers:
                lent.enter_context(_cores_for_decoding())
            waiting += entries
            # The first window is one batch, lest the encoder wait while a long one fills.
            while len(waiting) >= (n := max(run.size.items, window)):
                full, waiting = waiting[:n], waiting[n:]
                yield from run.forward(full)
                if any(map(_n_tokens, full)):
                    window = min(WINDOW_ITEMS, 2 * n)
        yield from run.forward(waiting)


class _Run:
    """One range on its way through an encoder.

    Attributes:
        size: of the next batch.
        decodes: whether an item met so far had to be decoded.
    """

    def __init__(self, encoder: Encoder, corpus: Corpus, device: str) -> None:
        self.size = _size_for(encoder, corpus.modality)
        self.decodes = False
        self._encoder = encoder
        self._staged = encoder if isinstance(encoder, StagedEncoder) else None
        self._corpus = corpus
        self._modality = corpus.modality
        self._device = device
        self._lock = Lock()

    def prepare(self, span: tuple[int, int]) -> Iterator[_Entry]:
        """Prepare rows of the corpus one by one; runs in several threads."""
        with self._lock:
            items = self._corpus.items(*span)
        for place, item in zip(range(*span), items, strict=True):
            self.decodes = self.decodes or isinstance(item.value, ENCODED)
            value = item if self._staged is None else self._prepared(self._staged, item)
            yield _Entry(place, item.id, value)

    def _prepared(self, encoder: StagedEncoder, item: Item) -> Prepared:
        try:
            return encoder.preprocess(self._modality, item)
        except MolspaceError as error:
            error.fields.setdefault("id", item.id)
            if isinstance(error, MediaError):
                error.fix = error.fix or registry.SKIP.format(id=item.id, modality=item.modality)
                if item.id not in f"{error.what} {error.fields.get('path', '')}":
                    error.what += f": '{item.id}'"
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise too_large(item) from error
            raise StepError(
                f"cannot prepare {item.modality} '{item.id}'",
                why=f"{type(error).__name__}: {error}".splitlines()[0],
                fix="leave the item out, or mend the encoder",
                id=item.id,
            ) from error

    def forward(self, entries: Sequence[_Entry]) -> Iterator[Batch]:
        """Embed prepared items, longest first where they have lengths."""
        entries = sorted(entries, key=_n_tokens, reverse=True)  # stable: others keep their order
        first = 0
        while first < len(entries):
            batch = entries[first : first + self.size.items]
            rows = self._try(batch)
            if rows is None:
                self.size.shrink(len(batch))
                free_device_memory(self._device)
                continue
            yield Batch([entry.place for entry in batch], [entry.id for entry in batch], rows)
            first += len(batch)

    def _try(self, batch: Sequence[_Entry]) -> NDArray[np.float32] | None:
        """Embed a batch; None if it does not fit into memory."""
        values: list[Any] = [entry.value for entry in batch]
        try:
            if self._staged is None:
                return self._encoder.embed(self._modality, values)
            if not self._device.startswith("cuda"):
                return self._staged.forward(self._modality, values)
            return self._measured(self._staged, values)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise too_large(Item(batch[0].id, self._modality, None)) from error
            return None

    def _measured(self, encoder: StagedEncoder, values: Sequence[Prepared]) -> NDArray[np.float32]:
        import torch

        memory = torch.cuda
        memory.reset_peak_memory_stats(self._device)
        before_bytes = memory.memory_allocated(self._device)
        rows = encoder.forward(self._modality, values)
        peak_bytes = memory.max_memory_allocated(self._device) - before_bytes
        unused_bytes = memory.memory_reserved(self._device) - memory.memory_allocated(self._device)
        free_bytes = memory.mem_get_info(self._device)[0] + unused_bytes
        self.size.grow(len(values), peak_bytes, free_bytes)
        return rows


def _size_for(encoder: Encoder, modality: Modality) -> BatchSize:
    if isinstance(encoder, StagedEncoder):
        items = start_items(_flops(encoder, modality))
    else:
        items = MOST_ITEMS  # it may split them as it likes
    try:
        return _SIZES.setdefault(encoder, {}).setdefault(modality, BatchSize(items))
    except TypeError:  # anyone's encoder: without a hash, or without weak references
        return BatchSize(items)


def _n_tokens(entry: _Entry) -> int:
    """Return how many token ids a prepared text has; 0 for whatever else it is."""
    arrays = entry.value if isinstance(entry.value, tuple) else (entry.value,)
    if all(isinstance(a, np.ndarray) and a.ndim == 1 and a.dtype.kind in "iu" for a in arrays):
        return sum(len(array) for array in arrays if isinstance(array, np.ndarray))
    return 0


def _size_bytes(value: Prepared | Item) -> int:
    if isinstance(value, Item):
        return registry.get(value.modality).size_bytes(value.value)
    return sum(map(value_size_bytes, value if isinstance(value, tuple) else (value,)))


def _flops(encoder: Encoder, modality: Modality) -> float:
    return dict(encoder.spec.flops_per_item).get(modality, 0.0)


def _is_text(corpus: Corpus, start: int, stop: int) -> bool:
    return any(isinstance(item.value, str) for item in corpus.items(start, min(stop, start + 1)))


@contextmanager
def _cores_for_decoding() -> Iterator[None]:
    """Leave half of torch's threads to those that decode.

    For encoders that are light by what they say of themselves, not by the clock: with the
    number of threads, rounding may change.
    """
    if (torch := sys.modules.get("torch")) is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)
