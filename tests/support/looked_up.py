"""A stand-in for an encoder: it answers by an item's id, wherever that is from, from a folder."""

from dataclasses import replace

from reactions.encoders.precomputed.adapter import PrecomputedAdapter


class LookedUp:
    def __init__(self, spec):
        self.spec = spec
        adapter = PrecomputedAdapter()
        self._table = adapter.load(adapter.resolve(spec.source))

    def embed(self, modality, items):
        return self._table.embed(modality, [replace(item, own_id=True) for item in items])


def load(spec, *, device="cpu"):
    return LookedUp(spec)
