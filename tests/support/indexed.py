"""An index of a product with encoders that draw rows by id."""

from dataclasses import replace

import numpy as np
from bundles import record_of, tensors_of
from fakes import Encoder, headline

from reactions.core.file_digests import DigestCache
from reactions.core.types import Item
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.target import Target
from reactions.search.atom_rows import AtomEmbedder
from reactions.search.build import add_items
from reactions.session import Session


class ByName(Encoder):
    """Draws rows by the last part of an id: a file's name, wherever it lies."""

    def embed(self, modality, items):
        names = [replace(item, id=item.id.rpartition("/")[2]) for item in items]
        return super().embed(modality, names)


def load_fake(spec, device):
    return ByName(spec)


def target_at(path, space=None):
    """Write a bundle of a product, the headline by default, and return it as a target."""
    space = space or headline()
    return Target.of_bundle(load_bundle(write_bundle(path, record_of(space), tensors_of(space))))


def session_here():
    return Session(load_lab("mini"), device="cpu")


def items_of(modality, n, start=0):
    return [
        Item(f"{modality}-{i}", modality, value_of(modality, i)) for i in range(start, start + n)
    ]


def value_of(modality, i):
    if modality == "text":
        return f"text {i}"
    if modality == "image":
        return np.full((2, 2, 3), i % 256, np.uint8)
    from reactions.core.types import Waveform

    return Waveform(np.full(8, i / 1000, np.float32), 16_000)


def mixture(n=12, start=0):
    """Items of three modalities, in turn."""
    by_modality = [items_of(modality, n, start) for modality in ("text", "image", "audio")]
    return [item for items in zip(*by_modality, strict=True) for item in items]


def add(directory, target, items, cache, **options):
    embedder = AtomEmbedder(target, load_encoder=load_fake, device="cpu")
    digests = DigestCache(cache)
    return add_items(directory, target, embedder, items, digests=digests, **options)
