"""A modality of one's own, palettes of colours, and a space that embeds them beside images."""

import numpy as np

from reactions.core.types import SpaceSpec
from reactions.encoders.base import Adapter
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


class SwatchesAdapter(Adapter):
    """Spaces that know nothing but mean colours: ``swatches:DIM``."""

    scheme = "swatches"

    def describe(self, request, digests):
        dim = int(request.rest)
        known = {"weights_digest": f"{dim:064x}", "preprocessing": TAGS}
        modalities = ("image", "palette")
        return SpaceSpec(f"swatches-{dim}", dim, modalities, "swatches", request.uri, **known)

    def open(self, spec, request, device):
        import torch  # only here: describing a space should cost no seconds

        from reactions.encoders.tower import Tower, TowerEncoder

        projection = torch.from_numpy(np.random.default_rng(0).normal(size=(4, spec.dim)))

        def project(colours):
            return torch.from_numpy(np.stack(colours)) @ projection

        return TowerEncoder(spec, {m: Tower(mean_colour, project) for m, _ in TAGS})


TAGS = (("image", "mean-colour-1"), ("palette", "mean-colour-1"))


def mean_colour(value):
    """Return the mean of an image's pixels, or of a palette's colours, and a constant."""
    return np.append(value.reshape(-1, 3).mean(0) / 255, 0.1)
