"""An encoder in stages that notes what it is given, and corpora for it."""

import threading

import numpy as np
import torch
from fakes import spec

from reactions.core.types import Item
from reactions.data.corpora import ListCorpus, TextCorpus
from reactions.encoding.items import CorpusRange
from reactions.encoding.prefetch import THREAD_NAME
from reactions.encoding.stream import encode

DIM = 3
LIGHT = spec("light", DIM, "image", "text")  # ten operations an item: batches of 256


class Staged:
    """Embeds a text by its words' lengths; notes batches, and how much padding they needed."""

    def __init__(self, spec=LIGHT):
        self.spec = spec
        self.sizes = []
        self.padded = 0
        self.forward_thread = None

    def preprocess(self, modality, item):
        if isinstance(item.value, str):
            return np.array([len(word) for word in item.value.split()], np.int64)
        return np.full((2, 2), int(item.id), np.uint16)

    def forward(self, modality, inputs):
        self.forward_thread = threading.current_thread()
        self.sizes.append(len(inputs))
        widest = max(item.size for item in inputs)
        self.padded += sum(widest - item.size for item in inputs)
        return np.stack([self.row(item) for item in inputs])

    def embed(self, modality, items):
        return self.forward(modality, [self.preprocess(modality, item) for item in items])

    def row(self, prepared):
        flat = prepared.ravel().astype(np.float64)
        row = np.array([1 + flat.sum(), flat.size, flat[0] if flat.size else 0.5])
        return (row / np.linalg.norm(row)).astype(np.float32)


class Narrow(Staged):
    """Has room for so many items, and no more."""

    error = torch.cuda.OutOfMemoryError

    def __init__(self, room, **options):
        super().__init__(**options)
        self.room = room
        self.refused = []

    def forward(self, modality, inputs):
        if len(inputs) > self.room:
            self.refused.append(len(inputs))
            raise self.error("CUDA out of memory")
        return super().forward(modality, inputs)


def sentences(n, seed=0):
    lengths = np.random.default_rng(seed).integers(0, 60, n)
    return TextCorpus("captions", [" ".join(["la", "hum"] * int(k)) for k in lengths])


def pictures(n):
    return ListCorpus("pictures", "image", [Item(str(i), "image", object()) for i in range(n)])


def gather(encoder, corpus, start=0, stop=None, **options):
    """Return the rows in the corpus's order, having checked that each came once, with its id."""
    stop = len(corpus) if stop is None else stop
    rows = np.full((stop - start, DIM), np.nan, np.float32)
    ids = [item.id for item in corpus.items(start, stop)]
    for batch in encode(encoder, CorpusRange(corpus, start, stop), **options):
        assert batch.ids == [ids[place - start] for place in batch.places]
        for place, row in zip(batch.places, batch.rows, strict=True):
            assert np.isnan(rows[place - start]).all()
            rows[place - start] = row
    assert helpers() == []
    return rows


def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]
