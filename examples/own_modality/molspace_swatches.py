"""A modality of one's own, palettes of colours, and a space that embeds them beside images."""

import numpy as np

from reactions.core.types import SpaceSpec
from reactions.modalities import registry
from reactions.modalities.base import Modality


def decode(stream, path):
    """Read one colour a line, such as ``ff8800``; what this raises is said of the file."""
    colours = [list(bytes.fromhex(line)) for line in stream.read().decode("ascii").split()]
    return np.array(colours, np.uint8).reshape(-1, 3)


def why_unusable(value):
    """Say what a value lacks: values in memory are not decoded, and files may hold no colour."""
    fits = isinstance(value, np.ndarray) and value.ndim == 2 and value.shape[1] == 3
    return "" if fits and len(value) else "it needs (n, 3) colours, n >= 1"


PALETTE = Modality(
    name="palette",
    letter="P",  # data=VP in a reaction
    suffixes=(".pal",),
    form="an (n, 3) uint8 array",
    decode=decode,
    why_unusable=why_unusable,
)


def resolve(uri):
    """Describe ``swatches:8`` before anything is loaded."""
    dim = int(uri.partition(":")[2])
    tags = (("image", "mean-colour-1"), ("palette", "mean-colour-1"))
    modalities, digest = ("image", "palette"), f"{dim:064x}"
    return SpaceSpec(
        f"swatches-{dim}",
        dim,
        modalities,
        "swatches",
        uri,
        weights_digest=digest,
        preprocessing=tags,
    )


class Swatches:
    def __init__(self, spec):
        self.spec = spec
        self.projection = np.random.default_rng(0).normal(size=(4, spec.dim))

    def embed(self, modality, items):
        colours = [registry.load(item).value.reshape(-1, 3).mean(0) / 255 for item in items]
        rows = np.c_[colours, np.full(len(items), 0.1)] @ self.projection
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def load(spec, *, device="cpu"):
    return Swatches(spec)
