"""Encoders that stay loaded: embedding, searching and scoring with one product share them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakMethod

from reactions import session
from reactions.core.types import Encoder, SpaceSpec, leaves
from reactions.inference.embedder import LoadedParts
from reactions.products.target import Target


class KeptEncoders:
    """Opens spaces for the steps of a run; a product's own come from what is kept, and stay.

    Encoders that an ``Ft`` tunes, or has tuned, are loaded for their step alone: their weights
    change. So are those of spaces that are not part of the product, and all on further devices.

    Args:
        target: the product.
        parts: a method that returns what keeps its encoders. It is referred to weakly: runs leave
            circles behind, which must not keep encoders when nobody else does.
    """

    def __init__(self, target: Target, parts: Callable[[], LoadedParts]) -> None:
        self._leaves = {
            _as_loaded(leaf.spec): leaf for leaf in leaves(target.space) if not leaf.spec.tuned
        }
        self._parts = WeakMethod(parts)

    def __call__(self, spec: SpaceSpec, device: str) -> Encoder:
        """Return a space, loaded on a device."""
        leaf = self._leaves.get(_as_loaded(spec))
        get_parts = self._parts()
        parts = None if get_parts is None else get_parts()
        if leaf is None or parts is None or device != parts.device:
            return session.load_encoder(spec, device)
        return parts.encoder(leaf)


def _as_loaded(spec: SpaceSpec) -> SpaceSpec:
    """Return a space without what does not change its encoder."""
    return replace(spec, centre=False)
