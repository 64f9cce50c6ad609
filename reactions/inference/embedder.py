"""Embedding items with a target: its encoders and projectors, loaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import DataError, UsageError
from reactions.core.types import Encoder, Item, Leaf, Modality, SpaceSpec
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    fit_adjustment,
    needed_leaves,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.products.fuse import Heads, Means

LoadEncoder = Callable[[SpaceSpec, str], Encoder]


class LoadedParts:
    """The encoders and projectors of a target on one device, loaded when needed and then kept.

    Several embedders, one after another or in several threads, may share them: factors and
    experts are not part of what is loaded.

    Args:
        target: whose parts.
        load_encoder: opens a leaf on a device.
        device: ``"cpu"`` or ``"cuda:N"``.
    """

    def __init__(self, target: Target, load_encoder: LoadEncoder, device: str) -> None:
        self.device = device
        self._target = target
        self._load_encoder = load_encoder
        self._encoders: dict[Leaf, Encoder] = {}
        self._heads: Heads | None = None
        self._means: Means | None = None
        self._lock = threading.RLock()

    def encoder(self, leaf: Leaf) -> Encoder:
        """Return the encoder of a leaf."""
        with self._lock:
            if leaf not in self._encoders:
                self._encoders[leaf] = self._load_encoder(leaf.spec, self.device)
            return self._encoders[leaf]

    def heads(self) -> Heads:
        """Return the projectors."""
        with self._lock:
            if self._heads is None:
                self._heads = self._target.heads(self.device)
            return self._heads

    def means(self) -> Means:
        """Return the means of centred spaces."""
        with self._lock:
            if self._means is None:
                self._means = self._target.means(self.device)
            return self._means

    def release(self) -> None:
        """Forget everything; what is needed again is loaded again."""
        with self._lock:
            self._encoders.clear()
            self._heads = self._means = None
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


class Embedder:
    """Embeds items of any modality with a target, loading encoders when first needed.

    Args:
        target: what to embed with.
        load_encoder: opens a leaf on a device.
        device: ``"cpu"`` or ``"cuda:N"``.
        adjustment: factors and experts.
        parts: those that earlier embedders of this target have loaded, on their device.

    Raises:
        UsageError: the adjustment does not fit the product.
    """

    def __init__(
        self,
        target: Target,
        *,
        load_encoder: LoadEncoder,
        device: str,
        adjustment: Adjustment = NO_ADJUSTMENT,
        parts: LoadedParts | None = None,
    ) -> None:
        self.target = target
        self._adjustment = fit_adjustment(target.space, adjustment)
        self._parts = parts or LoadedParts(target, load_encoder, device)

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.target.space.dim

    @cached_property
    def by_id(self) -> frozenset[Modality]:
        """The modalities that are only looked up by id, in folders of embeddings."""
        found = set()
        for modality in self.target.space.modalities:
            with suppress(UsageError):  # raised again where such an item is embedded
                adapters = {leaf.spec.adapter for leaf in self._leaves(modality)}
                if adapters == {"precomputed"}:
                    found.add(modality)
        return frozenset(found)

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality.

        Args:
            modality: one that the target embeds.
            items: of that modality; media as files or decoded.

        Returns:
            (len(items), dim) float32, unit-norm rows, in order.

        Raises:
            UsageError: the target does not embed this modality.
            MediaError: an item cannot be decoded.
            DataError: the projectors map an item to infinity, NaN or zero.
        """
        leaves = self._leaves(modality)
        if not items:
            return np.empty((0, self.dim), dtype=np.float32)
        import torch

        from reactions.products.fuse import fuse

        heads, means = self._parts.heads(), self._parts.means()
        rows = {
            leaf: torch.from_numpy(self._parts.encoder(leaf).embed(modality, items)).to(
                self._parts.device
            )
            for leaf in leaves
        }
        with torch.inference_mode():
            fused = fuse(self.target.space, modality, rows, heads, self._adjustment, means)
        found: NDArray[np.float32] = fused.cpu().numpy()
        _check_unit(found, modality, items)
        return found

    def prepare(self, modality: Modality) -> None:
        """Load what one modality needs, so that ``embed`` can only fail for its items.

        Raises:
            UsageError: the target, or what is left of it, does not embed this modality.
            MissingError: weights are missing.
            DataError: weights are damaged.
        """
        leaves = self._leaves(modality)
        self._parts.heads()
        for leaf in leaves:
            self._parts.encoder(leaf)

    def _leaves(self, modality: Modality) -> tuple[Leaf, ...]:
        space = self.target.space
        if modality not in space.modalities:
            raise UsageError(
                f"this space does not embed {modality}",
                why=f"it embeds {', '.join(space.modalities)}",
            )
        return needed_leaves(space, modality, self._adjustment)


def _check_unit(rows: NDArray[np.float32], modality: Modality, items: Sequence[Item]) -> None:
    """Refuse rows that are not directions: comparing them would give NaN, or 0 for all."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1.0) < 1e-2))  # NaN is not smaller either
    if len(bad):
        raise DataError(
            f"the product has no embedding of {modality} '{items[bad[0]].id}'",
            why=f"its row has length {norms[bad[0]]:g}, not 1: the projectors' numbers overflow, "
            "or cancel out",
            fix="get the bundle again, or run the reaction again",
            id=items[bad[0]].id,
        )
