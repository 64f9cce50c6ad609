"""A space of one's own, by colour: ``--space palette:8``, or ``Cr("palette:8")`` in a reaction."""

import numpy as np

from reactions.core.types import SpaceSpec
from reactions.encoders.base import Adapter

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "white": (1, 1, 1)}
TAGS = (("image", "mean-colour-1"), ("text", "colour-words-1"))


class PaletteAdapter(Adapter):
    scheme = "palette"

    def describe(self, request, digests):
        """Say what is known before anything is loaded: digest and tags decide what is cached."""
        dim = int(request.rest)
        known = {"weights_digest": f"{dim:064x}", "preprocessing": TAGS}
        modalities = ("image", "text")
        return SpaceSpec(f"palette-{dim}", dim, modalities, "palette", request.uri, **known)

    def open(self, spec, request, device):
        import torch  # only here: describing a space should cost no seconds

        from reactions.encoders.tower import Tower, TowerEncoder

        projection = torch.from_numpy(np.random.default_rng(0).normal(size=(4, spec.dim)))

        def project(colours):
            return torch.from_numpy(np.stack(colours)) @ projection

        functions = (mean_colour, named_colours)
        image, text = (Tower(prepare, project, limits=()) for prepare in functions)
        return TowerEncoder(spec, {"image": image, "text": text})


def mean_colour(pixels):
    return np.append(pixels.mean((0, 1)) / 255, 0.1)


def named_colours(text):
    colours = [COLOURS[word] for word in text.split() if word in COLOURS]
    return np.append(np.sum([*colours, (0, 0, 0)], axis=0), 0.1)
