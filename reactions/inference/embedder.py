"""Embedding items with a target: its encoders and projectors, loaded once, act as one encoder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from reactions.core.errors import DataError, MediaError, UsageError
from reactions.core.left_out import Limits, limits_of, report
from reactions.core.types import (
    Encoder,
    Item,
    Leaf,
    Modality,
    Prepared,
    Space,
    SpaceSpec,
    StagedEncoder,
)
from reactions.encoders.raw_view import RawView
from reactions.encoding.batch_size import BatchSize, size_for
from reactions.encoding.items import Batch, windows
from reactions.encoding.stream import Stream
from reactions.modalities import registry
from reactions.modalities.encoded import ENCODED
from reactions.modalities.once import decode_once
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    fit_adjustment,
    needed_leaves,
    raw_leaves,
    tuned_leaf,
    tuned_nodes,
    tunes,
)
from reactions.products.tuned import TunedPath

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from reactions.products.parts import Parts

WINDOW_ITEMS: Final = 256
WINDOW_BYTES: Final = 64 << 20
"""Prepared items held at once beside those that are prepared ahead, unless one is larger."""

LoadEncoder = Callable[[SpaceSpec, str], Encoder]


class LoadedParts:
    """The encoders and trained parts of a target on one device, loaded when needed and then kept.

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
        self._trained: Parts | None = None
        self._lock = threading.RLock()

    def encoder(self, leaf: Leaf) -> Encoder:
        """Return the encoder of a leaf."""
        with self._lock:
            if leaf not in self._encoders:
                spec = replace(leaf.spec, tuned="")
                encoder = self._load_encoder(spec, self.device)
                if leaf.spec.tuned:
                    self._give_tuned(leaf, encoder)
                self._encoders[leaf] = encoder
            return self._encoders[leaf]

    def _give_tuned(self, leaf: Leaf, encoder: Encoder) -> None:
        """Give an encoder of its own the weights that an Ft left."""
        from reactions.encoders.tuned_towers import give_weights

        for _, node in tuned_nodes(self._target.space):
            if tunes(node, node.arguments[0]) and tuned_leaf(node) == leaf:
                part = self.trained()[node, None]
                assert isinstance(part, TunedPath), "parts are checked when they are loaded"
                give_weights(encoder, node.arguments[0], part.encoder, rank=part.rank)

    def trained(self) -> Parts:
        """Return the trained parts."""
        with self._lock:
            if self._trained is None:
                self._trained = self._target.parts(self.device)
            return self._trained

    def release(self) -> None:
        """Forget everything; what is needed again is loaded again."""
        with self._lock:
            self._encoders.clear()
            self._trained = None
        if self.device.startswith("cuda"):
            import torch

            # torch keeps freed blocks for itself, where other programs cannot use them.
            torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True)
class _Tower:
    """The encoder of a leaf, for one modality.

    Attributes:
        leaf: whose.
        preprocess: an item to what ``forward`` takes; from any thread.
        forward: a batch of that to (n, leaf.dim) rows.
        size: of its batches.
        limits: what it looks out for in items.
    """

    leaf: Leaf
    preprocess: Callable[[Item], Any]
    forward: Callable[[Modality, Sequence[Any]], NDArray[np.float32]]
    size: BatchSize
    limits: Limits

    @classmethod
    def of(cls, leaf: Leaf, encoder: Encoder, modality: Modality, *, is_lookup: bool) -> Self:
        """Take an encoder in stages, or whole: then it gets items, decoded if it reads them."""
        size, limits = size_for(encoder, modality), limits_of(encoder, modality)
        if isinstance(encoder, StagedEncoder):
            return cls(leaf, partial(encoder.preprocess, modality), encoder.forward, size, limits)
        return cls(leaf, _as_it_is if is_lookup else registry.load, encoder.embed, size, limits)


class Embedder:
    """A product as an encoder: its items pass through its leaves' encoders and are fused.

    It is a ``StagedEncoder``: preparing an item decodes it once for all leaves. Encoders are loaded
    when first needed.

    Args:
        target: what to embed with.
        load_encoder: opens a leaf on a device.
        device: ``"cpu"`` or ``"cuda:N"``.
        adjustment: factors and experts.
        parts: those that earlier embedders of this target have loaded, on their device.
        given: folders of embeddings that stand in for leaves' encoders.

    Attributes:
        spec: what is known of the product.
        device: where it computes.
        loaded: its encoders and trained parts.

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
        given: Mapping[Leaf, SpaceSpec] | None = None,
    ) -> None:
        self.target = target
        self._lookups = {leaf: load_encoder(spec, "cpu") for leaf, spec in (given or {}).items()}
        self._adjustment = fit_adjustment(target.space, adjustment)
        self.loaded = parts or LoadedParts(target, load_encoder, device)
        self._loaded: dict[Modality, tuple[_Tower, ...]] = {}
        self.device = self.loaded.device
        self.spec = SpaceSpec(
            name=target.name,
            dim=target.space.dim,
            modalities=target.space.modalities,
            adapter="product",
            source="",
            flops_per_item=tuple(
                (modality, self._flops(modality)) for modality in target.space.modalities
            ),
        )

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return self.target.space.dim

    @cached_property
    def by_id(self) -> frozenset[Modality]:
        """The modalities that are only looked up by id, in folders of embeddings."""
        modalities = set()
        for modality in self.target.space.modalities:
            with suppress(UsageError):  # raised again where such an item is embedded
                if all(map(self._is_lookup, self._leaves(modality))):
                    modalities.add(modality)
        return frozenset(modalities)

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality, decoding ahead.

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
        rows = np.empty((len(items), self.dim), dtype=np.float32)
        if not items:
            self._leaves(modality)
            return rows
        self.load(modality)
        stream = Stream(self, device=self.device)
        with closing(stream.prepared(items)) as prepared:
            for window in windows(prepared, most_items=WINDOW_ITEMS, most_bytes=WINDOW_BYTES):
                for batch in stream.forward(window):
                    self.check(batch)
                    rows[batch.places] = batch.rows
        report(stream.tally.all())
        return rows

    def load(self, modality: Modality) -> None:
        """Load what one modality needs, so that embedding can only fail for its items.

        Raises:
            UsageError: the target, or what is left of it, does not embed this modality.
            MissingError: weights are missing.
            DataError: weights are damaged.
        """
        self._towers(modality)
        self.loaded.trained()

    def limits(self, modality: Modality) -> Limits:
        """Return what the encoders that take part look out for in items."""
        tower_limits = [tower.limits.items() for tower in self._towers(modality)]
        return dict(pair for pairs in tower_limits for pair in pairs)

    def batch_size(self, modality: Modality) -> BatchSize:
        """Return the size of the next batch: that of the leaf that takes the fewest at once."""
        sizes = (tower.size for tower in self._towers(modality))
        return min(sizes, key=lambda size: size.items)

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Prepare one item for every leaf that has a share in it; safe to call from threads.

        Returns:
            What each leaf's encoder takes, in the order of ``needed_leaves``.

        Raises:
            MediaError: the item cannot be decoded; ``fields["id"]`` names it.
        """
        towers = self._towers(modality)
        if not isinstance(item.value, ENCODED):  # nothing to decode, so nothing to share
            return tuple([tower.preprocess(item) for tower in towers])
        try:
            with decode_once():
                return tuple([tower.preprocess(item) for tower in towers])
        except MediaError as error:
            # That fix is a setting of a corpus, and this item belongs to none.
            if error.fix == registry.skip(item):
                error.fix = "replace it, or leave it out"
            raise

    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed prepared items of one modality.

        Returns:
            (len(inputs), dim) float32, unit-norm rows unless the projectors are at fault
            (``check``).

        Raises:
            DataError: a leaf's encoder gives no usable embedding.
        """
        import torch

        from reactions.products.fuse import fuse

        rows = self.leaf_rows(modality, inputs)
        with torch.inference_mode():
            fused = fuse(self.target.space, modality, rows, self.loaded.trained(), self._adjustment)
        embeddings: NDArray[np.float32] = fused.cpu().numpy()
        return embeddings

    def leaf_rows(self, modality: Modality, inputs: Sequence[Prepared]) -> dict[Space, Tensor]:
        """Embed prepared items in the leaves that take part: (len(inputs), d_leaf) rows each.

        Raises:
            DataError: a leaf's encoder gives no usable embedding.
        """
        import torch

        # inputs: an item, its value for each tower -> a tower, its value for each item
        by_tower = zip(self._towers(modality), zip(*inputs, strict=True), strict=True)
        return {
            tower.leaf: torch.from_numpy(tower.forward(modality, list(values))).to(self.device)
            for tower, values in by_tower
        }

    def _towers(self, modality: Modality) -> tuple[_Tower, ...]:
        """Return what takes part in one modality, loaded."""
        if modality not in self._loaded:
            self._loaded[modality] = tuple(
                _Tower.of(leaf, self._encoder(leaf), modality, is_lookup=self._is_lookup(leaf))
                for leaf in self._leaves(modality)
            )
        return self._loaded[modality]

    def _encoder(self, leaf: Leaf) -> Encoder:
        """Return a leaf's encoder; where an Lcl takes its rows as they are, of their own norm."""
        encoder = self._lookups.get(leaf) or self.loaded.encoder(leaf)
        return RawView(encoder) if leaf in raw_leaves(self.target.space) else encoder

    def _is_lookup(self, leaf: Leaf) -> bool:
        """Return whether a space looks items up by id, and reads nothing else of them."""
        return leaf in self._lookups or leaf.spec.adapter == "precomputed"

    def check(self, batch: Batch) -> None:
        """Refuse rows that are not directions: comparing them would give NaN, or 0 for all.

        Raises:
            DataError: one has not unit norm.
        """
        norms = np.linalg.norm(self._directions(batch).astype(np.float64), axis=2)
        # So written, NaN is bad, too.
        bad = np.flatnonzero(~(np.abs(norms - 1.0) < 1e-2).all(axis=1))
        if len(bad):
            why, fix = self._without_direction(float(norms[bad[0], 0]))
            raise DataError(
                f"the product has no embedding of {batch.modality} '{batch.ids[bad[0]]}'",
                why=why,
                fix=fix,
                id=batch.ids[bad[0]],
            )

    def _directions(self, batch: Batch) -> NDArray[np.float32]:
        """Return what of each row has to have unit norm: (n, k, d)."""
        return batch.rows[:, None]

    def _without_direction(self, norm: float) -> tuple[str, str]:
        """Return why a row has none, and what helps."""
        return (
            f"its row has length {norm:g}, not 1: the projectors' numbers overflow, or cancel out",
            "get the bundle again, or run the reaction again",
        )

    def _leaves(self, modality: Modality) -> tuple[Leaf, ...]:
        space = self.target.space
        if modality not in space.modalities:
            raise UsageError(
                f"this space does not embed {modality}",
                why=f"it embeds {', '.join(space.modalities)}",
            )
        return self._taking_part(modality)

    def _taking_part(self, modality: Modality) -> tuple[Leaf, ...]:
        """Return the leaves whose embeddings are needed."""
        return needed_leaves(self.target.space, modality, self._adjustment)

    def _flops(self, modality: Modality) -> float:
        """Return the operations an item takes in all leaves; 0 if one does not say."""
        with suppress(UsageError):  # raised again where such an item is embedded
            flops = [
                dict(leaf.spec.flops_per_item).get(modality, 0.0) for leaf in self._leaves(modality)
            ]
            return sum(flops) if all(flops) else 0.0
        return 0.0


def _as_it_is(item: Item) -> Item:
    return item
