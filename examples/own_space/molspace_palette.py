"""A space of one's own, by colour: ``--space palette:8``, or ``Cr("palette:8")`` in a reaction."""

import numpy as np

from reactions.core.types import SpaceSpec
from reactions.modalities import registry

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1)}


def resolve(uri):
    """Describe the space before anything is loaded: the digest and tags decide what is cached."""
    dim = int(uri.partition(":")[2])
    tags = (("image", "mean-colour-1"), ("text", "colour-words-1"))
    return SpaceSpec(
        f"palette-{dim}",
        dim,
        ("image", "text"),
        "palette",
        uri,
        licence="Apache-2.0",
        weights_digest=f"{dim:064x}",
        preprocessing=tags,
    )


class Palette:
    def __init__(self, spec):
        self.spec = spec
        self.projection = np.random.default_rng(0).normal(size=(4, spec.dim))

    def embed(self, modality, items):
        colour = {"image": lambda pixels: pixels.mean((0, 1)) / 255, "text": named}[modality]
        colours = np.stack([colour(registry.load(item).value) for item in items])
        rows = np.c_[colours, np.full(len(items), 0.1)] @ self.projection
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def named(text):
    return np.sum([COLOURS[word] for word in text.split() if word in COLOURS] + [(0, 0, 0)], axis=0)


def load(spec, *, device="cpu"):
    return Palette(spec)
