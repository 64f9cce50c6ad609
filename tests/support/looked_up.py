"""A stand-in for an encoder: it answers by an item's id, wherever that is from, from a folder."""

from dataclasses import replace
from pathlib import Path

from reactions.encoders.precomputed import adapter


class LookedUp:
    def __init__(self, spec):
        self.spec = spec
        folder = adapter.resolve(Path(spec.source))
        self._table = adapter.PrecomputedEncoder(folder)

    def embed(self, modality, items):
        return self._table.embed(modality, [replace(item, own_id=True) for item in items])


def load(spec, *, device="cpu"):
    return LookedUp(spec)
