"""Embedding in a product: embeddings of its leaves, or of inner products, in; its own out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, MutableMapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reactions.core.encoder_paths import path_of
from reactions.core.types import Fusion, Leaf, Mean, Modality, Space, Tuned
from reactions.ops.mixing import mix_experts
from reactions.ops.tensors import load_rows, unit
from reactions.products.acting import acting_shares
from reactions.products.parts import NO_PARTS, Centring, Parts, ProjectorMixture
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    acting_mean,
    coefficients,
    tuned_leaf,
    tunes,
)
from reactions.products.tuned import TunedPath

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    from reactions.core.step import Rows

    Projected: TypeAlias = MutableMapping[Hashable, Tensor]

CHUNK_ROWS = 8192
"""Stored rows fused at once."""


def fuse(
    space: Space,
    modality: Modality,
    rows: Mapping[Space, Tensor],
    parts: Parts = NO_PARTS,
    adjustment: Adjustment = NO_ADJUSTMENT,
    projected: Projected | None = None,
) -> Tensor:
    """Embed rows of one modality in a product.

    Every representation is rescaled to unit norm before it is weighted: leaf embeddings
    (less their mean, where a leaf is centred), each head's output, the mean over heads, and
    the weighted sum. Where the stage's mean is ``"unit"``, the mean over heads is taken of all
    parallel experts at once.

    Args:
        space: the product.
        modality: what the rows are.
        rows: (n, d_node) rows of every leaf that ``needed_leaves`` names, as its encoder gives
            them; or of inner products, as they embed, which are then not made again. Storing them
            in half precision may have left them a little off unit norm. Those of
            ``raw_leaves`` have the norm that the leaf's model gives.
        parts: what was trained, on the rows' device.
        adjustment: factors and experts to use instead of the trained defaults.
        projected: what earlier calls have projected of the same rows by the same parts; what this
            one projects is added. Most of the time goes there, and other factors of the outermost
            stage change nothing about it.

    Returns:
        (n, space.dim) unit-norm rows.

    Raises:
        UsageError: a leaf is centred, and its mean is not there.

    Source: Molecule-Space, eq. 1-3, 9, 10.
    """
    if not isinstance(space, Leaf) and space in rows:
        return unit(rows[space])
    if isinstance(space, Tuned):
        return _tuned(space, modality, rows, parts, adjustment, projected)
    if isinstance(space, Leaf):
        embedded = unit(rows[space])
    else:
        base_share, shares = coefficients(space, modality, adjustment)
        mean = acting_mean(space, shares)
        base, experts = (
            [
                (
                    share,
                    joined(space, index, modality, rows, parts, adjustment, projected, mean=mean),
                )
                for index, share in sides
                if share > 0  # the rows of others are not there: see needed_leaves
            ]
            for sides in ([(None, base_share)], enumerate(shares))
        )
        embedded = mix_experts(base, experts, mean)
    part = parts.get((space, None))
    if part is None and isinstance(space, Leaf) and space.spec.centre:
        part = Centring(space.label, {})  # which says what is missing
    return embedded if part is None else part.apply(modality, embedded)


def _tuned(
    node: Tuned,
    modality: Modality,
    rows: Mapping[Space, Tensor],
    parts: Parts,
    adjustment: Adjustment,
    projected: Projected | None,
) -> Tensor:
    """Embed rows in what an Ft tuned: as its base does, but for the encoder and its way.

    What an Lcl trained acts on the rows of its base.
    """
    if node.op == "lcl":
        base = fuse(node.base, modality, rows, parts, adjustment, projected)
        if node.learning.takes_raw_rows:
            base = base * rows[node.base].norm(dim=-1, keepdim=True)
        return parts[node, None].apply(modality, base)
    base_rows, base_parts = tuned_inputs(node, modality, rows, parts)
    # Kept by projector: one that is not this node's own has also projected other rows.
    base_projected = projected if node.tuning.heads or base_parts is parts else None
    return fuse(node.base, modality, base_rows, base_parts, adjustment, base_projected)


def tuned_inputs(
    node: Tuned, modality: Modality, rows: Mapping[Space, Tensor], parts: Parts
) -> tuple[Mapping[Space, Tensor], Parts]:
    """Return what the base of an Ft is to be embedded from: its encoder's rows and its projectors.

    Of modalities that it does not tune, both are as they were.
    """
    if node.arguments[0] != modality:
        return rows, parts
    part = parts[node, None]
    assert isinstance(part, TunedPath), "parts are checked when they are loaded"
    # Rows of inner products were made without this node's projectors.
    base_rows: dict[Space, Tensor] = {
        space: stored for space, stored in rows.items() if isinstance(space, Leaf)
    }
    if tunes(node, modality):
        base_rows[path_of(node).leaf] = rows[tuned_leaf(node)]
    return base_rows, {**parts, **part.heads}


def joined(
    fusion: Fusion,
    index: int | None,
    modality: Modality,
    rows: Mapping[Space, Tensor],
    parts: Parts = NO_PARTS,
    adjustment: Adjustment = NO_ADJUSTMENT,
    projected: Projected | None = None,
    *,
    mean: Mean = "eq10",
) -> Tensor:
    """Embed rows in the base or in one expert, projected to where the product is.

    Args:
        fusion: the product.
        index: of the expert; None for the base.
        modality: one that it embeds.
        rows: see ``fuse``, as are the others.
        parts: what was trained.
        adjustment: of what is within the base or the expert.
        projected: see ``fuse``.
        mean: for what ``ops.mixing.mix_experts`` is to mix the rows.

    Returns:
        (n, fusion.dim) unit-norm rows; those of an expert for ``"unit"``, no longer than 1.
    """
    space = fusion.base if index is None else fusion.experts[index].space
    # Dr projects its base into the expert's space, Cr its experts into the base's. Dr has a single
    # expert, so its projectors, too, are those of index 0.
    if (index is None) != (fusion.op == "dr"):
        return fuse(space, modality, rows, parts, adjustment, projected)
    part = parts[fusion, index or 0]
    key = id(part), mean, modality, acting_shares(space, modality, adjustment)
    if projected is not None and key in projected:
        return projected[key]
    embedded = fuse(space, modality, rows, parts, adjustment, projected)
    if mean == "unit" and isinstance(part, ProjectorMixture):
        embedded = part.mean(embedded)
    else:
        embedded = part.apply(modality, embedded)
    if projected is not None:
        projected[key] = embedded
    return embedded


def embed_product(
    space: Space,
    modality: Modality,
    stored: Mapping[Space, Rows],
    parts: Parts,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    start: int = 0,
    stop: int | None = None,
    chunk_rows: int | None = None,
    device: str = "cpu",
    on_rows: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """Embed stored embeddings in a product, a chunk of rows at a time.

    Args:
        space: the product.
        modality: what the rows are.
        stored: embeddings of nodes as for ``fuse``, row i of all of the same item.
        parts: what was trained, on ``device``.
        adjustment: factors and experts.
        start: first row.
        stop: row after the last; all of them by default.
        chunk_rows: rows at once; ``CHUNK_ROWS`` by default.
        device: where to compute.
        on_rows: called with how many rows are done, and of how many.

    Returns:
        (stop - start, space.dim) float32, unit-norm rows.
    """
    stop = len(next(iter(stored.values()))) if stop is None else stop
    out = np.empty((stop - start, space.dim), dtype=np.float32)
    chunk_rows = chunk_rows or CHUNK_ROWS
    with torch.inference_mode():
        for first in range(start, stop, chunk_rows):
            last = min(stop, first + chunk_rows)
            rows = {node: load_rows(source, first, last, device) for node, source in stored.items()}
            fused = fuse(space, modality, rows, parts, adjustment)
            out[first - start : last - start] = fused.cpu().numpy()
            on_rows(last - start, stop - start)
    return out
